"""What every part of a worker is built with."""

from dataclasses import dataclass

from rtserver.app.metrics import WorkerMetrics
from rtserver.config.settings import Settings
from rtserver.lib.shutdown import Shutdown
from rtserver.observe.readiness import Readiness


@dataclass(frozen=True, slots=True)
class Foundation:
    """What every builder is given.

    Attributes:
        settings: of the worker.
        metrics: of the worker.
        shutdown: takes the step that stops what a builder starts.
        readiness: asks those parts that the worker can't serve without.
    """

    settings: Settings
    metrics: WorkerMetrics
    shutdown: Shutdown
    readiness: Readiness
