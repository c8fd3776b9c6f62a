"""Processes and cores: pinning, processor time and memory, all read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE = 0  # the server under test has it to itself
CLIENT_CORE = 1  # the load client, the database and this program

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def require_two_cores() -> None:
    """Ends the program with a message where there is no second core for the client."""
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("the benchmarks need two cores: one for the server, one for the client")


def pin(pid: int, core: int) -> None:
    """Binds every thread of a process to one core; threads made later inherit it."""
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), {core})
        except ProcessLookupError:  # a thread that ended meanwhile needs no pinning
            continue


def pids_naming(text: str) -> list[int]:
    """Returns the processes with `text` on their command line, this one excepted."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in command:
            found.append(int(entry.name))
    return found


def pin_helpers(text: str, server_pid: int) -> list[int]:
    """Binds what has `text` on its command line, the server excepted, to the client's core."""
    pids = [pid for pid in pids_naming(text) if pid != server_pid]
    for pid in pids:
        pin(pid, CLIENT_CORE)
    return pids


def cpu_s(pid: int) -> float:
    """Returns the processor time that a process has used, in seconds."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def children_cpu_s(pid: int) -> float:
    """Returns the processor time of a process's children that have ended, in seconds."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_S


def core_busy_s(core: int) -> float:
    """Returns how long a core has been busy since the start, in seconds."""
    for line in (PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
    raise LookupError(f"no core {core}")


@dataclass(frozen=True)
class Memory:
    """A process's memory in KiB: resident, its proportional share, and what is its own."""

    rss_kib: int
    pss_kib: int
    uss_kib: int


def memory(pid: int) -> Memory:
    """Reads the memory of a process from smaps_rollup."""
    values = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        key, _, rest = line.partition(":")
        values[key] = int(rest.split()[0])
    return Memory(
        rss_kib=values["Rss"],
        pss_kib=values["Pss"],
        uss_kib=values["Private_Clean"] + values["Private_Dirty"],
    )
