"""Messages of the session protocol that start and cancel runs."""

import msgspec

from rtserver.model.field_types import ProposalId, RunId
from rtserver.model.run import RunState
from rtserver.sessions.client_messages import Command
from rtserver.sessions.server_frames import Ack


class StartValidation(Command, tag="start_validation"):
    """Run the validator on a proposal."""

    proposal_id: ProposalId


class CancelValidation(Command, tag="cancel_validation"):
    """Stop a validation."""

    run_id: RunId


class StartIteration(Command, tag="start_iteration"):
    """Have a proposal revised."""

    proposal_id: ProposalId
    instruction: str


class CancelIteration(Command, tag="cancel_iteration"):
    """Stop an iteration."""

    run_id: RunId


class StartedAck(Ack):
    """The answer to `start_validation` and `start_iteration`.

    Attributes:
        place: how many wait until it is its turn, itself included; only while it is queued.
    """

    run_id: RunId
    proposal_id: ProposalId
    state: RunState
    place: int | msgspec.UnsetType = msgspec.UNSET


class CancelAck(Ack):
    """The answer to `cancel_validation` and `cancel_iteration`: its terminal event follows."""

    run_id: RunId
    proposal_id: ProposalId
