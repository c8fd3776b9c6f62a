"""Makes the work of an iteration out of what a person asks for."""

from typing import TypedDict

from rtserver.model import texts
from rtserver.model.errors import RefusedError
from rtserver.model.identity import Identity
from rtserver.reviews.proposals import Proposal
from rtserver.reviews.rights import check_text_change
from rtserver.runs.iteration.work import IterationParts, IterationWork

MAX_INSTRUCTION_CHARS = 10_000


class IterationsOffError(RefusedError):
    """The server has no language model."""

    status = 503
    reason = "llm_not_configured"


class LanguageModelJson(TypedDict):
    """Who revises proposals, as clients see it.

    Attributes:
        demo: it is a stand-in for a model.
    """

    name: str
    demo: bool


class Iterations:
    """What handlers and commands know of iterations."""

    def __init__(self, parts: IterationParts | None) -> None:
        """Make the factory.

        Args:
            parts: None where no language model is configured.
        """
        self._parts = parts

    def model_json(self) -> LanguageModelJson | None:
        """Who revises, as clients see it: `name`, and whether it is the demo's stand-in."""
        if self._parts is None:
            return None
        return {"name": self._parts.model.name, "demo": self._parts.model.is_demo}

    def work(self, proposal: Proposal, by: Identity, instruction: str) -> IterationWork:
        """The work that an instruction stands for.

        Raises:
            ForbiddenError: the user may not have the proposal's text changed.
            ArchivedError: nobody may any more.
            IterationsOffError: there is no language model.
            InvalidError: the instruction is empty, too long, or has control characters in it.
        """
        check_text_change(by, proposal)
        if self._parts is None:
            raise IterationsOffError(
                "This server has no language model: its operator has to set RT_LLM_BASE_URL "
                "and RT_LLM_MODEL"
            )
        return IterationWork(
            self._parts,
            proposal,
            by,
            texts.prose("instruction", instruction, MAX_INSTRUCTION_CHARS),
        )
