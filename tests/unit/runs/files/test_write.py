"""Writing several files: all or none, also when the process is killed at any system call."""

import contextlib
import errno
import fcntl
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtserver.runs.files import folders, rename_exchange
from rtserver.runs.files import journal as write_journal
from rtserver.runs.files import staging as write_staging
from rtserver.runs.files import write as proposal_writer
from rtserver.runs.files.folders import digest_of
from rtserver.runs.files.journal import Settled
from rtserver.runs.files.paths import MAX_DEPTH
from rtserver.runs.files.read import MAX_FILE_BYTES, MAX_FILES, WorkspaceError
from rtserver.runs.files.staging import NewFile
from rtserver.runs.files.write import AREA, ProposalWriter

BEFORE = {
    "proposal.md": b"# Old\n",
    "tasks.md": b"- [ ] old\n",
    "specs/fees/spec.md": b"old spec\n",
}
CHANGES = {
    "proposal.md": b"# New and longer than the old one\n",
    "specs/fees/spec.md": b"new spec\n",
    "specs/new/deep/spec.md": b"added\n",
    "design.md": b"added too\n",
}
AFTER = {**BEFORE, **CHANGES}
CHANGES_OTHERWISE = (
    "link",
    "rename",
    "mkdir",
    "unlink",
    "rmdir",
    "write",
    "fsync",
    "open",
    "chmod",
)


@pytest.fixture(params=["exchange", "rename"])
def swapping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """File systems that can swap two names, and those that can't."""
    if request.param == "rename":
        monkeypatch.setattr(write_journal, "exchange", lambda *_names, **_fds: False)
    return str(request.param)


@pytest.fixture
def change(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "p1" / "openspec" / "changes" / "c1"
    for path, content in BEFORE.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture
def writer(tmp_path: Path, change: Path) -> ProposalWriter:
    return ProposalWriter(tmp_path / "root")


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def new_files() -> list[NewFile]:
    return [
        NewFile(path, digest_of(BEFORE[path]) if path in BEFORE else None, content)
        for path, content in CHANGES.items()
    ]


def area_of(change: Path) -> Path:
    return change.parents[2] / AREA / "c1"


def write(writer: ProposalWriter, **options: Any) -> None:
    given = {"files": new_files(), "may_commit": lambda: True, **options}
    writer.write("p1", "c1", "run-1", given["files"], given["may_commit"])


def refused(writer: ProposalWriter, **options: Any) -> str:
    with pytest.raises(WorkspaceError) as caught:
        write(writer, **options)
    return caught.value.reason


def test_all_files_are_written(change: Path, writer: ProposalWriter, swapping: str) -> None:
    write(writer)
    assert files_in(change) == AFTER
    assert [path.name for path in area_of(change).iterdir() if path.name.endswith(".json")] == [
        "committed.json"
    ]
    assert writer.settle("p1", "c1") == Settled("committed", "run-1", tuple(CHANGES))
    writer.forget("p1", "c1", "run-1")
    assert list(area_of(change).iterdir()) == []
    assert writer.settle("p1", "c1") == Settled("nothing")
    assert files_in(change) == AFTER


def test_another_run_does_not_forget_for_it(change: Path, writer: ProposalWriter) -> None:
    write(writer)
    writer.forget("p1", "c1", "run-0")
    assert writer.settle("p1", "c1").outcome == "committed"


def test_permissions_are_kept(change: Path, writer: ProposalWriter) -> None:
    (change / "proposal.md").chmod(0o640)
    write(writer)
    assert (change / "proposal.md").stat().st_mode & 0o777 == 0o640


def test_a_hard_link_elsewhere_keeps_its_content(
    change: Path, writer: ProposalWriter, tmp_path: Path, swapping: str
) -> None:
    elsewhere = tmp_path / "elsewhere.md"
    elsewhere.hardlink_to(change / "proposal.md")
    write(writer)
    assert elsewhere.read_bytes() == BEFORE["proposal.md"]


def test_the_servers_folder_is_not_for_git(change: Path, writer: ProposalWriter) -> None:
    write(writer)
    assert (area_of(change).parent / ".gitignore").read_text(encoding="utf-8") == "*\n"


@pytest.mark.parametrize("path", ["proposal.md", "specs/fees/spec.md"])
def test_conflict_with_a_changed_file(change: Path, writer: ProposalWriter, path: str) -> None:
    (change / path).write_bytes(b"edited by a person\n")
    assert refused(writer) == "conflict"
    assert files_in(change) == {**BEFORE, path: b"edited by a person\n"}


def test_conflict_with_a_removed_file(change: Path, writer: ProposalWriter) -> None:
    (change / "proposal.md").unlink()
    assert refused(writer) == "conflict"
    assert "proposal.md" not in files_in(change)


def test_conflict_with_a_file_that_appeared(change: Path, writer: ProposalWriter) -> None:
    (change / "design.md").write_bytes(b"a person's\n")
    assert refused(writer) == "conflict"
    assert files_in(change) == {**BEFORE, "design.md": b"a person's\n"}


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], before: str) -> None:
    """Do something between the check of all files and the swap of one."""
    swap_in = write_journal.swap_in

    def late(entry: write_journal.Entry, name: str, *, area: int, parent: int) -> bool:
        if entry.path == before:
            act()
        return swap_in(entry, name, area=area, parent=parent)

    monkeypatch.setattr(proposal_writer, "swap_in", late)


@pytest.mark.parametrize("path", ["specs/fees/spec.md", "design.md"])
def test_no_edit_is_lost_however_late(
    change: Path, writer: ProposalWriter, monkeypatch: pytest.MonkeyPatch, path: str, swapping: str
) -> None:
    def save() -> None:  # as an editor does: a new file under the old name
        draft = change / path.replace(".md", ".tmp")
        draft.write_bytes(b"saved just now\n")
        draft.rename(change / path)

    _meanwhile(monkeypatch, save, path)
    assert refused(writer) == "conflict"
    assert files_in(change) == {**BEFORE, path: b"saved just now\n"}


def test_no_edit_in_place_is_lost(
    change: Path, writer: ProposalWriter, monkeypatch: pytest.MonkeyPatch, swapping: str
) -> None:
    with (change / "proposal.md").open("r+b") as held:

        def append() -> None:
            held.seek(0, os.SEEK_END)
            held.write(b"one more line\n")
            held.flush()

        _meanwhile(monkeypatch, append, "design.md")  # after proposal.md was swapped
        assert refused(writer) == "conflict"
    assert files_in(change) == {**BEFORE, "proposal.md": b"# Old\none more line\n"}


def test_file_that_becomes_a_link_meanwhile(
    change: Path, writer: ProposalWriter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(BEFORE["specs/fees/spec.md"])

    def link() -> None:
        (change / "specs/fees/spec.md").unlink()
        (change / "specs/fees/spec.md").symlink_to(secret)

    _meanwhile(monkeypatch, link, "specs/fees/spec.md")
    assert refused(writer) == "conflict"
    assert (change / "specs/fees/spec.md").is_symlink()
    assert secret.read_bytes() == BEFORE["specs/fees/spec.md"]
    assert (change / "proposal.md").read_bytes() == BEFORE["proposal.md"]


def test_folder_that_becomes_a_link_meanwhile(
    change: Path, writer: ProposalWriter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"

    def link() -> None:
        (change / "specs").rename(outside)
        (change / "specs").symlink_to(outside)

    _meanwhile(monkeypatch, link, "proposal.md")
    assert refused(writer) == "unsafe_path"
    assert files_in(outside) == {"fees/spec.md": BEFORE["specs/fees/spec.md"]}
    assert (change / "proposal.md").read_bytes() == BEFORE["proposal.md"]


def test_links_and_folders_are_refused(
    change: Path, writer: ProposalWriter, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (change / "specs" / "out").symlink_to(tmp_path / "outside")
    (change / "design.md").symlink_to(tmp_path / "secret")
    (change / "specs" / "folder.md").mkdir()
    for path in ("specs/out/x.md", "design.md", "specs/folder.md"):
        assert refused(writer, files=[NewFile(path, None, b"x")]) == "unsafe_path"
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (tmp_path / "secret").exists()


@pytest.mark.parametrize(
    "path",
    [
        ".openspec.yaml",
        ".git/config",
        "specs/.git/x.md",
        "../c2/proposal.md",
        "notes.md",
        "Tasks.md",
        "specs/Fees/spec.md",
        "specs/fees/SPEC.md",
        "specs/new/Deep/spec.md",
    ],
)
def test_what_may_not_be_written_is_not(change: Path, writer: ProposalWriter, path: str) -> None:
    files = [*new_files(), NewFile(path, None, b"skip_specs: true\n")]
    assert refused(writer, files=files) == "unsafe_path"
    assert files_in(change) == BEFORE


def test_what_the_schema_names_may_be_written(change: Path, writer: ProposalWriter) -> None:
    schema = change.parents[1] / "schemas" / "own" / "schema.yaml"
    schema.parent.mkdir(parents=True)
    schema.write_text("artifacts: [{generates: docs/*.md}]\n", encoding="utf-8")
    files = [NewFile("docs/a.md", None, b"# A\n")]
    assert refused(writer, files=files) == "unsafe_path"
    (change / ".openspec.yaml").write_text("schema: own\n", encoding="utf-8")
    assert writer.read("p1", "c1").allowed.meant("openspec/changes/c1/docs/a.md") == "docs/a.md"
    write(writer, files=files)
    assert (change / "docs" / "a.md").read_bytes() == b"# A\n"


def test_a_link_in_place_of_the_servers_folder(
    change: Path, writer: ProposalWriter, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (change.parents[2] / AREA).symlink_to(tmp_path / "outside")
    assert refused(writer) == "unsafe_path"
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_in_place_of_a_staged_file(
    change: Path, writer: ProposalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tmp_path / "others"
    others.write_bytes(b"secret\n")
    others.chmod(0o600)
    (change / "proposal.md").chmod(0o666)
    dress = write_staging._dress

    def late(*args: Any, **like: Any) -> None:
        (area_of(change) / "file-0").unlink()
        (area_of(change) / "file-0").symlink_to(others)
        dress(*args, **like)

    monkeypatch.setattr(write_staging, "_dress", late)
    assert refused(writer) == "conflict"
    assert others.stat().st_mode & 0o777 == 0o600
    assert others.read_bytes() == b"secret\n"
    assert files_in(change) == BEFORE


def test_what_replaces_a_file_is_not_executed(change: Path, writer: ProposalWriter) -> None:
    (change / "proposal.md").chmod(0o755)
    write(writer)
    assert (change / "proposal.md").stat().st_mode & 0o777 == 0o644


def test_the_servers_folder_is_for_nobody_else(
    change: Path, writer: ProposalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders_of_writes = (area_of(change).parent, area_of(change))
    write(writer)
    for folder in folders_of_writes:
        assert folder.stat().st_mode & 0o777 == 0o700
        folder.chmod(0o755)  # as earlier versions made it
    writer.forget("p1", "c1", "run-1")
    for folder in folders_of_writes:
        assert folder.stat().st_mode & 0o777 == 0o700
    for folder in folders_of_writes:
        folder.chmod(0o770)
        assert refused(writer) == "not_written"
        folder.chmod(0o700)
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert refused(writer) == "not_written"
    assert files_in(change) == AFTER


def test_a_run_that_was_ended_writes_nothing(
    change: Path, writer: ProposalWriter, swapping: str
) -> None:
    seen: list[dict[str, bytes]] = []

    def may_commit() -> bool:
        seen.append(files_in(change))
        return False

    assert refused(writer, may_commit=may_commit) == "stopped"
    assert seen == [AFTER]  # it could have been undone until the very end
    assert files_in(change) == BEFORE
    assert not (change / "specs" / "new").exists()


def test_proposal_that_went_away(change: Path, writer: ProposalWriter) -> None:
    change.rename(change.with_name("c2"))
    assert refused(writer) == "no_such_proposal"
    assert writer.settle("p1", "c1") == Settled("nothing")


@pytest.mark.parametrize("way", ["write", "change"])
def test_proposal_that_is_archived_while_others_wait_for_its_lock(
    change: Path, writer: ProposalWriter, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    archived, lock = change.with_name("archived"), proposal_writer._lock

    def lock_then(area: int, timeout_s: float) -> None:
        change.rename(archived)
        lock(area, timeout_s)

    monkeypatch.setattr(proposal_writer, "_lock", lock_then)
    if way == "write":
        reason = refused(writer)
    else:
        with pytest.raises(WorkspaceError) as caught:
            writer.change(
                "p1", "c1", "r1", lambda _: new_files(), lambda _: None, check=lambda: None
            )
        reason = caught.value.reason
    assert reason == "no_such_proposal"
    assert files_in(archived) == BEFORE


def test_what_nobody_could_read_again_is_not_written(change: Path, writer: ProposalWriter) -> None:
    (change / "design.md").write_bytes(b"")
    for files in (
        [NewFile("design.md", digest_of(b""), b"x" * (MAX_FILE_BYTES + 1))],
        [NewFile(f"specs/{number}.md", None, b"") for number in range(MAX_FILES)],
        [NewFile(f"specs/{n}.md", None, b"x" * MAX_FILE_BYTES) for n in range(16)],
    ):
        assert refused(writer, files=files) == "too_large"
    assert files_in(change) == {**BEFORE, "design.md": b""}
    deepest = "specs/" + "d/" * (MAX_DEPTH - 2) + "spec.md"
    write(writer, files=[NewFile(deepest, None, b"deep")])
    assert deepest in writer.read("p1", "c1").files


def test_another_process_at_work(change: Path, writer: ProposalWriter) -> None:
    write(writer)
    holder = os.open(area_of(change), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(WorkspaceError) as caught:
            writer.settle("p1", "c1", lock_timeout_s=0.05)
        assert caught.value.reason == "busy"
        later = threading.Timer(0.1, os.close, [holder])
        later.start()
        assert writer.settle("p1", "c1", lock_timeout_s=10).outcome == "committed"
        later.join()
    finally:
        with contextlib.suppress(OSError):
            os.close(holder)


class _Counted:
    """`os`, with something happening at the n-th call that changes the disk."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.calls = 0
        self._at = at
        self._act = act

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGES_OTHERWISE:
            return real

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                self._act()
            return real(*args, **kwargs)

        return counted


@contextlib.contextmanager
def _at_call(number: int, act: Callable[[], None]) -> Iterator[_Counted]:
    counted = _Counted(number, act)
    modules: list[Any] = [folders, write_journal, write_staging, proposal_writer]
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "os", counted)
        exchange = vars(write_journal)["exchange"]
        if exchange is rename_exchange.exchange:

            def counted_exchange(*args: Any, **kwargs: Any) -> bool:
                counted.calls += 1
                if counted.calls == number:
                    act()
                return rename_exchange.exchange(*args, **kwargs)

            patch.setattr(write_journal, "exchange", counted_exchange)
        yield counted


def _killed_at(writer: ProposalWriter, number: int) -> bool:
    """Write in a process that is killed before its n-th call; False where it made fewer."""
    pid = os.fork()
    if pid == 0:
        try:
            with _at_call(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                write(writer)
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_any_system_call(
    change: Path, writer: ProposalWriter, tmp_path: Path, swapping: str
) -> None:
    outcomes = []
    number = 1
    while _killed_at(writer, number):
        now = {path: change.joinpath(path).read_bytes() for path in files_in(change)}
        for path, content in now.items():  # each file is whole at any moment
            assert content in (BEFORE.get(path), AFTER.get(path))
        ProposalWriter(tmp_path / "root").settle_all()
        settled = files_in(change)
        assert settled in (BEFORE, AFTER), f"killed at call {number}"
        outcomes.append(settled == AFTER)
        assert writer.settle("p1", "c1").outcome == ("committed" if settled == AFTER else "nothing")
        if settled == AFTER:
            break
        assert not (change / "specs" / "new").exists()
        number += 1
    assert number > 30
    assert outcomes.count(True) == 1


def test_an_error_at_any_system_call(change: Path, writer: ProposalWriter, swapping: str) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    number = 1
    while True:
        with _at_call(number, fail) as counted:
            reasons = {"disk_full"}
            try:
                write(writer)
            except WorkspaceError as error:
                reasons.add(error.reason)
        assert reasons == {"disk_full"}, f"failed at call {number}"
        if counted.calls < number:
            break
        after = files_in(change)
        if after == AFTER:  # it failed when all was committed already
            break
        assert after == BEFORE, f"failed at call {number}"
        number += 1
    assert number > 30
    assert files_in(change) == AFTER


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_edits_made_before_the_recovery_are_kept(
    change: Path, writer: ProposalWriter, logs: Any
) -> None:
    number = 1
    while b"New" not in (change / "proposal.md").read_bytes():
        writer.settle("p1", "c1")
        assert _killed_at(writer, number)
        number += 1
    (change / "proposal.md").write_bytes(b"edited after the crash\n")
    assert writer.settle("p1", "c1").outcome == "undone"
    assert files_in(change) == {**BEFORE, "proposal.md": b"edited after the crash\n"}
    writer.settle_all()
    write(writer, files=[NewFile("tasks.md", digest_of(BEFORE["tasks.md"]), b"new\n")])
    assert (change / "tasks.md").read_bytes() == b"new\n"


def test_a_file_size_limit(change: Path, writer: ProposalWriter) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            import resource  # noqa: PLC0415 - of the child alone

            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            files = [
                *new_files(),
                NewFile("tasks.md", digest_of(BEFORE["tasks.md"]), b"x" * 10_000),
            ]
            status = 0 if refused(writer, files=files) == "disk_full" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert files_in(change) == BEFORE
    assert list(area_of(change).iterdir()) == []
