"""`rtserver.demo.review`."""

from pathlib import Path

from rtserver.demo.review import REVIEWED_PROPOSAL_ID, STORY, Approved, Rewritten, Said

FOLDER = Path(__file__).parents[3] / "demo" / "openspec" / "changes" / REVIEWED_PROPOSAL_ID


def test_all_that_the_story_is_about_is_in_the_demos_files() -> None:
    texts = {
        str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8")
        for path in FOLDER.rglob("*.md")
    }
    said = 0
    for step in STORY:
        if isinstance(step, Rewritten):
            for path, (old, new) in step.words.items():
                assert texts[path].count(old) == 1
                texts[path] = texts[path].replace(old, new)
        elif isinstance(step, Said):
            assert step.quote in texts[step.path]
            assert step.heading is None or f"# {step.heading}\n" in texts[step.path]
            assert step.answers is None or step.answers < said
            said += 1
    approved = next(n for n, step in enumerate(STORY) if isinstance(step, Approved))
    assert any(isinstance(step, Rewritten) for step in STORY[approved:]), "so it is stale"
    lost = [step for step in STORY if isinstance(step, Said) and step.quote not in texts[step.path]]
    assert len(lost) == 1
