"""What a program that the server starts may take of the machine: the kernel's limits on it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """Limits of setrlimit(2) for a command and all that it starts; 0: as the server has it.

    Attributes:
        address_space_bytes: RLIMIT_AS: what a process has reserved, used or not.
        memory_bytes: RLIMIT_DATA: what it may write to of that, and has for itself.
        processes: RLIMIT_NPROC: how many processes and threads the account may have in all.
        file_bytes: RLIMIT_FSIZE: how large a file may become.
        cpu_s: RLIMIT_CPU: how much processor time a process may use.
    """

    address_space_bytes: int = 0
    memory_bytes: int = 0
    processes: int = 0
    file_bytes: int = 0
    cpu_s: int = 0

    def to_argument(self) -> str:
        """As `guard.py` takes them, by the names that the module `resource` has for them."""
        limits = {
            "AS": self.address_space_bytes,
            "DATA": self.memory_bytes,
            "NPROC": self.processes,
            "FSIZE": self.file_bytes,
            "CPU": self.cpu_s,
        }
        return ",".join(f"{name}={limit}" for name, limit in limits.items() if limit)
