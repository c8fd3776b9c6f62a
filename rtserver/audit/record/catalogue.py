"""The catalogue of audit actions: every one, with its meaning and an example.

docs/audit.md is generated from here by `rtserver.audit.record.doc`.
"""

from collections.abc import Mapping

from rtserver.audit.record.action_doc import ActionDoc
from rtserver.audit.record.actions import Action
from rtserver.audit.record.client_actions import CLIENT_ACTIONS
from rtserver.audit.record.server_actions import SERVER_ACTIONS

CATALOGUE: Mapping[Action, ActionDoc] = {**CLIENT_ACTIONS, **SERVER_ACTIONS}
