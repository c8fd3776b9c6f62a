"""The metrics of language models' replies: how their streams end."""

from rtserver.observe.metrics import MetricsRegistry
from rtserver.runs.llm.ends import EndKind


class LlmMetrics:
    """What is counted of language models' replies.

    Attributes:
        replies_ended_total: streams that came to an end, by what the endpoint said of it, `end`:
            `unknown` calls for a row in `rtserver.runs.llm.ends`.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self.replies_ended_total = registry.counter(
            "llm_replies_ended",
            "Streams of language models' replies that ended",
            ["end"],
            [[kind] for kind in EndKind],
        )

    def reply_ended(self, end: EndKind) -> None:
        """Count the end of the stream of a reply."""
        self.replies_ended_total.labels(end).inc()
