"""What is said to a language model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """What is said to the model, and in whose role: `system` or `user`."""

    role: str
    content: str
