"""Revisions and reviews over HTTP on two workers that share a workspace and a MongoDB."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import Pair
from tests.support.api import Api, api
from tests.support.sockets import SocketClient, session
from tests.support.workers import Workers

FILES = {"proposal.md": "# Why\n\nBecause.\n", "specs/loans/spec.md": "## ADDED Requirements\n"}


@dataclass
class Case:
    """A proposal of ada's, reviewed by ben and eve; ben is on the other worker."""

    id: str
    folder: Path
    ada: Api
    ben: Api
    eve: Api
    viewer: SocketClient

    @property
    def path(self) -> str:
        return f"/api/v1/proposals/{self.id}"

    async def numbers(self) -> list[int]:
        shown = await self.ben.get(f"{self.path}/revisions")
        return [revision["number"] for revision in shown["revisions"]]


def digest_of(files: dict[str, bytes]) -> str:
    """As the contract has it, written down once more."""
    hashed = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.encode()):
        hashed.update(path.encode() + b"\0" + str(len(files[path])).encode() + b"\0" + files[path])
    return "sha256:" + hashed.hexdigest()


def on_disk(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@asynccontextmanager
async def reviewed(pair: Pair, project: str, files: dict[str, str] | None) -> AsyncIterator[Case]:
    proposal_id = f"change.{project}"
    folder = pair.workspace(project) / "openspec" / "changes" / proposal_id
    for path, text in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    async with (
        api(pair.one.address, "ada", roles=()) as ada,
        api(pair.other.address, "ben", roles=()) as ben,
        api(pair.one.address, "eve", roles=()) as eve,
        session(pair.other.address, project, proposal_ids=[proposal_id]) as viewer,
    ):
        await ada.propose(project, proposal_id, reviewers=["ben", "eve"], status="in_review")
        yield Case(proposal_id, folder, ada, ben, eve, viewer)


@pytest.mark.gen_test
async def test_every_way_in_which_a_text_changes_is_a_revision(pair: Pair, project: str) -> None:
    async with reviewed(pair, project, FILES) as case:
        first = (await case.ben.get(case.path))["revision"]
        assert first["number"] == 1
        assert first["digest"] == digest_of(on_disk(case.folder))
        created = await case.viewer.recv_type("revision_created")
        revision = created["revision"]
        assert (revision["cause"], revision["actor"], revision["digest"]) == (
            "first",
            None,
            first["digest"],
        )
        assert [(file["path"], file["change"]) for file in revision["files"]] == [
            ("proposal.md", "added"),
            ("specs/loans/spec.md", "added"),
        ]

        body = {"base": 1, "files": {"proposal.md": "# New\n"}, "note": "shorter"}
        sent = await case.ada.post(f"{case.path}/revisions", body)
        assert (sent["number"], sent["cause"], sent["actor"], sent["note"]) == (
            2,
            "upload",
            "ada",
            "shorter",
        )
        assert sent["digest"] == digest_of(on_disk(case.folder))
        assert (case.folder / "proposal.md").read_text() == "# New\n"
        told = await case.viewer.recv_type("revision_created")
        assert told["revision"] == sent

        (case.folder / "design.md").write_text("seen\n")
        assert await case.numbers() == [3, 2, 1]
        seen = await case.viewer.recv_type("revision_created")
        assert (seen["revision"]["cause"], seen["revision"]["actor"]) == ("disk", None)

        back = await case.ada.post(f"{case.path}/revisions/1/restore")
        assert (back["number"], back["cause"], back["restored_from"]) == (4, "restore", 1)
        assert back["digest"] == first["digest"]
        assert back["removed"] == ["design.md"]
        assert not (case.folder / "design.md").exists()
        again = await case.ada.post(f"{case.path}/revisions/1/restore", status=200)
        assert again["number"] == 4
        for number in ("9" * 5_000, "0", "current", "%D9%A1"):
            await case.ada.post(f"{case.path}/revisions/{number}/restore", status=404)

        page = await case.ben.get(f"{case.path}/revisions?limit=1&before=4")
        assert [each["number"] for each in page["revisions"]] == [3]
        assert page["more"]


@pytest.mark.gen_test
async def test_what_a_revision_holds_can_be_read_and_compared(pair: Pair, project: str) -> None:
    async with reviewed(pair, project, FILES) as case:
        (case.folder / "odd.bin").write_bytes(b"\xff\x00")
        listed = await case.ben.get(f"{case.path}/revisions/current/files")
        assert [file["path"] for file in listed["files"]] == [
            "odd.bin",
            "proposal.md",
            "specs/loans/spec.md",
        ]
        answer = await case.ben.http.get(f"{case.path}/revisions/current/files/specs/loans/spec.md")
        assert answer.text == FILES["specs/loans/spec.md"]
        assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        etag = answer.headers["ETag"]
        same = await case.ben.http.get(
            f"{case.path}/revisions/1/files/specs/loans/spec.md", headers={"If-None-Match": etag}
        )
        assert same.status_code == 304
        odd = await case.ben.http.get(f"{case.path}/revisions/current/files/odd.bin")
        assert (odd.content, odd.headers["Content-Type"]) == (
            b"\xff\x00",
            "application/octet-stream",
        )
        await case.ada.post(
            f"{case.path}/revisions",
            {"base": 2, "files": {"proposal.md": "# Why\n\nSince.\n", "tasks.md": "- [ ] 1\n"}},
        )
        compared = await case.ben.get(f"{case.path}/revisions/3/changes?against=1")
        assert [(file["path"], file["change"]) for file in compared["files"]] == [
            ("odd.bin", "added"),
            ("proposal.md", "modified"),
            ("tasks.md", "added"),
        ]
        assert compared["files"][0]["binary"] is True
        assert "-Because.\n+Since.\n" in compared["files"][1]["diff"]
        for path in ("revisions/9/files", "revisions/x/files", "revisions/1/files/no.md"):
            await case.ben.get(f"{case.path}/{path}", 404)
        for against, status in (("9", 404), ("x", 400), ("current", 200)):
            await case.ben.get(f"{case.path}/revisions/1/changes?against={against}", status)


@pytest.mark.gen_test
async def test_who_sends_a_text_on_an_older_one_overwrites_nobody(pair: Pair, project: str) -> None:
    async with reviewed(pair, project, FILES) as case:
        await case.ben.post(
            f"{case.path}/revisions", {"base": 1, "files": {"proposal.md": "# Ben's\n"}}
        )
        refused = await case.ada.post(
            f"{case.path}/revisions", {"base": 1, "files": {"proposal.md": "# Ada's\n"}}, 409
        )
        assert (refused["reason"], refused["newest"]["number"]) == ("conflict", 2)
        assert refused["paths"] == ["proposal.md"]
        assert (case.folder / "proposal.md").read_text() == "# Ben's\n"
        # Another file is nobody's conflict.
        other = await case.ada.post(
            f"{case.path}/revisions", {"base": 1, "files": {"tasks.md": "- [ ] 1\n"}}
        )
        assert other["number"] == 3
        # Nor is it where somebody wrote in the workspace meanwhile.
        (case.folder / "tasks.md").write_text("- [x] 1\n")
        refused = await case.ada.post(
            f"{case.path}/revisions", {"base": 3, "files": {"tasks.md": "- [ ] 2\n"}}, 409
        )
        assert refused["newest"]["number"] == 4

        for path in ("../x.md", "/x.md", ".git/config", ".openspec.yaml", "run.sh", "a/../../x.md"):
            body = {"base": 4, "files": {path: "x", "proposal.md": "y"}}
            answer = await case.ada.post(f"{case.path}/revisions", body, 422)
            assert answer["reason"] == "unsafe_path", path
        assert await case.numbers() == [4, 3, 2, 1]
        gone = await case.ada.post(
            f"{case.path}/revisions", {"base": 4, "files": {"tasks.md": None}}
        )
        assert gone["removed"] == ["tasks.md"]
        assert not (case.folder / "tasks.md").exists()
        async with api(pair.one.address, "stranger", roles=()) as stranger:
            await stranger.post(
                f"{case.path}/revisions", {"base": 5, "files": {"proposal.md": "x"}}, 403
            )
            await stranger.post(f"{case.path}/revisions/1/restore", status=403)


@pytest.mark.gen_test
async def test_a_first_text_can_be_sent_where_there_is_none(pair: Pair, project: str) -> None:
    async with reviewed(pair, project, None) as case:
        assert (await case.ben.get(case.path))["revision"] is None
        await case.ben.get(f"{case.path}/revisions/current/files", 404)
        made = await case.ada.post(
            f"{case.path}/revisions", {"base": 0, "files": {"proposal.md": "# First\n"}}
        )
        assert (made["number"], made["cause"]) == (1, "upload")
        assert (case.folder / "proposal.md").read_text() == "# First\n"


@pytest.mark.gen_test
async def test_an_approval_is_of_exactly_one_text(pair: Pair, project: str) -> None:
    async with reviewed(pair, project, FILES) as case:
        refused = await case.ben.patch(case.path, {"status": "approved"}, 409)
        assert refused["reason"] == "approvals_missing"
        approve = {"verdict": "approve", "revision": 1}
        await case.ada.post(f"{case.path}/reviews", approve, 403)
        given = await case.ben.post(f"{case.path}/reviews", {**approve, "text": "Good"})
        assert (given["reviewer"], given["verdict"], given["stale"]) == ("ben", "approve", False)
        told = await case.viewer.recv_type("review_submitted")
        assert told["review"] == given
        assert told["approvals"]["missing"] == 0

        blocking = await case.eve.post(
            f"{case.path}/reviews", {"verdict": "request_changes", "revision": 1}
        )
        assert blocking["digest"] == given["digest"]
        refused = await case.ben.patch(case.path, {"status": "approved"}, 409)
        assert refused["approvals"]["blocked_by"] == ["eve"]
        await case.eve.post(f"{case.path}/reviews", {"verdict": "comment", "revision": 1})
        assert len((await case.ada.get(f"{case.path}/reviews"))["reviews"]) == 2
        await case.eve.post(f"{case.path}/reviews", {"verdict": "approve", "revision": 1})
        assert (await case.ben.patch(case.path, {"status": "approved"}))["status"] == "approved"

        # The text moves on, so the approval does not stand on it, and the proposal goes back.
        (case.folder / "proposal.md").write_text("# Another\n")
        assert (await case.numbers())[0] == 2
        moved = await case.viewer.recv_until(
            lambda frame: frame["type"] == "status_changed" and frame.get("cause") == "revised"
        )
        assert (moved[-1]["from"], moved[-1]["to"]) == ("approved", "in_review")
        shown = await case.ada.get(case.path)
        assert (shown["status"], shown["approvals"]["given"]) == ("in_review", 0)
        assert [review["stale"] for review in shown["reviews"]] == [True, True]
        refused = await case.ben.post(f"{case.path}/reviews", approve, 409)
        assert (refused["reason"], refused["newest"]["number"]) == ("stale_revision", 2)
        await case.ben.patch(case.path, {"status": "approved"}, 409)
        # Put back as it was, it is the text that they approved.
        await case.ada.post(f"{case.path}/revisions/1/restore")
        shown = await case.ben.patch(case.path, {"status": "approved"})
        assert shown["approvals"]["given"] == 2
        await case.ben.patch(case.path, {"status": "in_review"})
        await case.ben.patch(case.path, {"status": "archived"})
        archived = await case.ada.post(
            f"{case.path}/revisions", {"base": 3, "files": {"proposal.md": "x"}}, 409
        )
        assert archived["reason"] == "archived"
        refused = await case.ben.post(f"{case.path}/reviews", {**approve, "revision": 3}, 409)
        assert refused["reason"] == "archived"


SPEC = """# Loans

## Purpose

What patrons borrow, for how long, and what becomes of it when they do not bring it back in time.

## Requirements

### Requirement: Borrow a copy

A patron SHALL be able to borrow a copy.

#### Scenario: A copy is there

- **WHEN** a patron asks for a copy
- **THEN** it is lent

### Requirement: Old name

The library SHALL keep a name.

#### Scenario: Named

- **WHEN** it is named
- **THEN** it stays so
"""
DELTA = """## ADDED Requirements

### Requirement: Renew a loan

A patron SHALL be able to renew a loan once.

#### Scenario: Renewed

- **WHEN** a patron renews
- **THEN** the loan is longer

## MODIFIED Requirements

### Requirement: Borrow a copy

A patron SHALL be able to borrow up to ten copies.

#### Scenario: A copy is there

- **WHEN** a patron asks for a copy
- **THEN** it is lent

## RENAMED Requirements

- FROM: `### Requirement: Old name`
- TO: `### Requirement: New name`
"""
PROPOSAL = """## Why

Patrons want to keep what they read for longer than three weeks, and ask for it every day.

## What Changes

- Loans are renewed once.
"""
CHANGE = {
    "proposal.md": PROPOSAL,
    "tasks.md": "## 1. Loans\n\n- [x] 1.1 Count them\n- [ ] 1.2 Renew them\n",
    "specs/loans/spec.md": DELTA,
}


def spec_of(pair: Pair, project: str) -> Path:
    spec = pair.workspace(project) / "openspec" / "specs" / "loans" / "spec.md"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(SPEC)
    return spec


@pytest.mark.gen_test(timeout=60)
async def test_what_a_revision_does_to_the_specs(pair: Pair, project: str) -> None:
    spec_of(pair, project)
    async with reviewed(pair, project, CHANGE) as case:
        shown = await case.ben.get(f"{case.path}/revisions/current/changes?against=specs")
        assert (shown["number"], shown["tasks"]) == (1, {"completed": 1, "total": 2})
        assert "note" not in shown
        by_name = {change["name"]: change for change in shown["requirements"]}
        assert [(name, change["operation"]) for name, change in by_name.items()] == [
            ("Renew a loan", "added"),
            ("Borrow a copy", "modified"),
            ("New name", "renamed"),
        ]
        added, modified, renamed = by_name.values()
        assert (added["before"], added["capability"]) == (None, "loans")
        assert "renew a loan once" in added["after"]
        assert "to borrow a copy." in modified["before"]
        assert "+A patron SHALL be able to borrow up to ten copies." in modified["diff"]
        assert renamed["renamed_from"] == "Old name"
        assert "SHALL keep a name" in renamed["before"]
        # An older one is compared as it was, whatever is in the workspace now.
        (case.folder / "specs" / "loans" / "spec.md").write_text("## ADDED Requirements\n")
        assert (await case.numbers())[0] == 2
        again = await case.ben.get(f"{case.path}/revisions/1/changes?against=specs")
        assert again == shown
        now = await case.ben.get(f"{case.path}/revisions/2/changes?against=specs")
        assert now["requirements"] == []


@pytest.mark.gen_test(timeout=60)
async def test_what_was_approved_is_archived_into_the_specs(pair: Pair, project: str) -> None:
    spec = spec_of(pair, project)
    async with reviewed(pair, project, {**CHANGE, "specs/loans/spec.md": "nothing\n"}) as case:
        await case.ben.approve(case.id)
        await case.ben.patch(case.path, {"status": "approved"})
        refused = await case.ada.patch(case.path, {"status": "archived"}, 409)
        assert refused["reason"] == "archive_refused"
        assert "OpenSpec did not archive" in refused["detail"]
        assert (await case.ada.get(case.path))["status"] == "approved"
        assert (spec.read_text(), case.folder.is_dir()) == (SPEC, True)

        newest = {"base": 1, "files": {"specs/loans/spec.md": DELTA}}
        await case.ada.post(f"{case.path}/revisions", newest)
        await case.ben.approve(case.id)
        await case.ben.patch(case.path, {"status": "approved"})
        archived = await case.ada.patch(case.path, {"status": "archived"})
        assert archived["status"] == "archived"
        assert "borrow up to ten copies" in spec.read_text()
        assert "### Requirement: New name" in spec.read_text()
        assert not case.folder.exists()
        told = await case.viewer.recv_until(lambda frame: frame.get("to") == "archived")
        assert told[-1]["archive"]["specs"] == {
            "added": 1,
            "modified": 1,
            "removed": 0,
            "renamed": 1,
        }
        assert told[-1]["archive"]["archived_as"].endswith(case.id)
        # The revisions, and what they held, are there all the same.
        text = await case.ben.http.get(f"{case.path}/revisions/1/files/proposal.md")
        assert text.text == PROPOSAL


@pytest.mark.gen_test(timeout=60)
async def test_many_who_write_at_once_make_dense_revisions(pair: Pair, project: str) -> None:
    async with reviewed(pair, project, FILES) as case:

        async def write(who: Api, name: str) -> int:
            made = 0
            for n in range(6):
                newest = (await who.get(case.path))["revision"]["number"]
                files = {f"specs/{name}/spec.md": f"{name} {n}\n"}
                answer = await who.http.post(
                    f"{case.path}/revisions", json={"base": newest, "files": files}
                )
                assert answer.status_code in (201, 409, 503), answer.text
                made += answer.status_code == 201
            return made

        async def edit() -> int:
            for n in range(10):
                (case.folder / "design.md").write_text(f"{n}\n")
                await case.numbers()
            return 10

        made = await asyncio.gather(write(case.ada, "a"), write(case.ben, "b"), edit())
        assert min(made[:2]) > 0
        numbers = await case.numbers()
        assert numbers == list(range(len(numbers), 0, -1))
        told = await case.ada.get(f"/api/v1/projects/{project}/events?limit=500")
        events = [
            event["revision"] for event in told["events"] if event["type"] == "revision_created"
        ]
        assert [revision["number"] for revision in events] == numbers[::-1]
        newest = (await case.ben.get(case.path))["revision"]
        assert newest["digest"] == digest_of(on_disk(case.folder)) == events[-1]["digest"]
        for revision in events:
            contents = {}
            for file in revision["files"]:
                answer = await case.ben.http.get(
                    f"{case.path}/revisions/{revision['number']}/files/{file['path']}"
                )
                contents[file["path"]] = answer.content
            assert digest_of(contents) == revision["digest"]


@pytest.mark.gen_test
async def test_what_others_write_is_seen_by_itself(workers: Workers, project: str) -> None:
    one, other = workers.start_many(2, workspace_watch="on")
    pair = Pair(one, other, workers.directory / "workspaces")
    async with reviewed(pair, project, FILES) as case:
        (case.folder / "proposal.md").write_text("# From an editor\n")
        seen = await case.viewer.recv_until(
            lambda frame: frame["type"] == "revision_created" and frame["revision"]["number"] == 2
        )
        assert (seen[-1]["revision"]["cause"], seen[-1]["actor"]) == ("disk", None)
        new = case.folder.parent / f"new.{project}"
        new.mkdir()
        (new / "proposal.md").write_text("# New\n")
        found = await case.viewer.recv_type("files_found")
        assert found["paths"] == [f"openspec/changes/new.{project}"]
        await case.ada.propose(project, f"new.{project}")
        assert (await case.ada.get(f"/api/v1/proposals/new.{project}"))["revision"]["number"] == 1


@pytest.mark.gen_test(timeout=60)
async def test_another_worker_watches_when_the_one_is_gone(workers: Workers) -> None:
    first, second = workers.start_many(2, lease_s=1.5, workspace_watch="on")
    folder = workers.directory / "workspaces" / "p1" / "openspec" / "changes" / "a"
    folder.mkdir(parents=True)
    (folder / "proposal.md").write_text("1\n")
    async with api(second.address, "ada", roles=()) as ada:
        await ada.propose("p1", "a")
        async with session(second.address, "p1") as viewer:
            first.kill()
            (folder / "proposal.md").write_text("2\n")
            # The first may be told only now: the worker that was killed had just seen it too.
            numbers = [0]
            while numbers[-1] < 2:
                seen = await viewer.recv_type("revision_created")
                numbers.append(seen["revision"]["number"])
            assert numbers in ([0, 2], [0, 1, 2])


@pytest.mark.gen_test
async def test_a_thread_on_a_place_in_the_text(pair: Pair, project: str) -> None:
    text = "# Why\n\nBecause.\n\n## What\n\n- Renew once\n"
    async with reviewed(pair, project, {"proposal.md": text}) as case:
        anchor = {
            "revision": 1,
            "path": "proposal.md",
            "heading": "What",
            "quote": "Renew once",
            "line": 7,
        }
        path = f"{case.path}/comments"
        async with session(pair.one.address, project, user="ada") as listening:
            made = await case.ben.post(path, {"text": "Why once?", "anchor": anchor})
            assert (made["anchor"], made["outdated"]) == (anchor, False)
            assert made["place"] == {"revision": 1, "line": 7}
            told = await listening.recv_type("comment_created")
            assert told["comment"]["anchor"] == anchor
            answer = await case.ada.post(path, {"text": "Ask eve", "reply_to": made["id"]})
            assert answer["reply_to"] == made["id"]

            moved = {"base": 1, "files": {"proposal.md": "Before.\n" + text}}
            await case.ada.post(f"{case.path}/revisions", moved)
            listed = (await case.eve.get(path))["comments"]
            assert listed[0]["place"] == {"revision": 2, "line": 8}
            gone = {"base": 2, "files": {"proposal.md": "# Why\n"}}
            await case.ada.post(f"{case.path}/revisions", gone)
            listed = (await case.eve.get(path))["comments"]
            assert (listed[0]["place"], listed[0]["outdated"]) == (None, True)
            assert "place" not in listed[1]

            comment = f"/api/v1/comments/{made['id']}"
            await case.ada.patch(comment, {"text": "not mine"}, 403)
            edited = await case.ben.patch(comment, {"text": "Why only once?"})
            assert edited["text"] == "Why only once?"
            assert edited["edited_at"] is not None
            told = await listening.recv_type("comment_updated")
            assert told["comment"]["text"] == "Why only once?"
            settled = await case.ada.patch(comment, {"resolved": True})
            assert settled["resolved"]["by"] == "ada"
            assert (await listening.recv_type("comment_updated"))["comment"]["resolved"][
                "by"
            ] == "ada"
            assert (await case.eve.patch(comment, {"resolved": False}))["resolved"] is None
            async with api(pair.one.address, "stranger", roles=()) as stranger:
                await stranger.patch(comment, {"resolved": True}, 403)
                await stranger.delete(comment, 403)
            await case.ben.delete(comment, 204)
            told = await listening.recv_type("comment_deleted")
            assert told["comment_id"] == made["id"]
            assert [each["id"] for each in (await case.eve.get(path))["comments"]] == [answer["id"]]
            await case.ben.patch(comment, {"text": "x"}, 404)
        for wrong in (
            {**anchor, "path": "no.md"},
            {**anchor, "revision": 9},
            {**anchor, "line": 0},
            {**anchor, "quote": "x" * 3000},
        ):
            await case.ben.post(path, {"text": "x", "anchor": wrong}, 422)
        await case.ben.post(path, {"text": "x", "reply_to": "nobody"}, 404)


@pytest.mark.gen_test
async def test_a_removed_proposal_leaves_no_text_to_the_next_of_its_name(
    pair: Pair, project: str
) -> None:
    async with reviewed(pair, project, FILES) as case:
        await case.ada.post(
            f"{case.path}/revisions", {"base": 1, "files": {"tasks.md": "- [ ] 1\n"}}
        )
        await case.ada.delete(case.path, 204)
        await case.ben.get(f"{case.path}/revisions", 404)
        (case.folder / "proposal.md").write_text("# Another\n")
        await case.ada.propose(project, case.id)
        assert await case.numbers() == [1]
        text = await case.ben.http.get(f"{case.path}/revisions/1/files/proposal.md")
        assert text.text == "# Another\n"


@pytest.mark.gen_test
async def test_proposals_that_touch_one_requirement_are_told_of_each_other(
    pair: Pair, project: str
) -> None:
    modified = "## MODIFIED Requirements\n### Requirement: Lend\nx\n"
    removed = "## REMOVED Requirements\n### Requirement: Lend\n**Reason**: x\n"
    async with reviewed(pair, project, {"specs/loans/spec.md": modified}) as case:
        other = f"other.{project}"
        folder = case.folder.with_name(other) / "specs/loans"
        folder.mkdir(parents=True)
        (folder / "spec.md").write_text(removed)
        assert (await case.ben.get(case.path))["collisions"] == []
        await case.ben.propose(project, other)
        seen = await case.ben.get(f"/api/v1/proposals/{other}/revisions")
        assert len(seen["revisions"]) == 1

        said = {"capability": "loans", "requirement": "Lend"}
        mine = {"proposal_id": other, **said, "here": "modified", "there": "removed"}
        there = {"proposal_id": case.id, **said, "here": "removed", "there": "modified"}
        told: dict[str, list[object]] = {}
        while told.get(case.id) != [mine]:
            frame = await case.viewer.recv_type("proposal_updated")
            told[frame["proposal_id"]] = frame["proposal"]["collisions"]
        snapshot = await case.ada.get(f"/api/v1/projects/{project}")
        shown = {each["id"]: each["collisions"] for each in snapshot["proposals"]}
        assert shown == {case.id: [mine], other: [there]}

        await case.ben.patch(f"/api/v1/proposals/{other}", {"status": "archived"})
        while told[case.id]:
            frame = await case.viewer.recv_type("proposal_updated")
            told[frame["proposal_id"]] = frame["proposal"]["collisions"]
        assert (await case.ada.get(case.path))["collisions"] == []
        assert (await case.ada.get(f"/api/v1/proposals/{other}"))["collisions"] == []
