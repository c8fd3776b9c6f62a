"""A service that goes on publishing through restarts of the server, each event once."""

import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from tests.support.tokens import token

RETRY_S = 0.2
PATIENCE_S = 90.0


class Publisher:
    """Publishes `test.event` with `data` 0, 1, 2, ... until it is told to finish.

    Attributes:
        count: how many were published so far.
    """

    def __init__(
        self, address: Callable[[], str], project_id: str, interval_s: float = 0.02
    ) -> None:
        """Make one; `with` runs it.

        Args:
            address: host and port of a worker, asked anew for each attempt.
            project_id: where to.
            interval_s: between two events.
        """
        self._address = address
        self._project_id = project_id
        self._interval_s = interval_s
        self._authorization = f"Bearer {token('svc', roles=('service',))}"
        self._key = secrets.token_hex(8)
        self._finish = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher")
        self._failed: str | None = None
        self.count = 0

    def _run(self) -> None:
        while not self._finish.wait(self._interval_s):
            try:
                self._publish(self.count)
            except TimeoutError as error:
                self._failed = str(error)
                return
            self.count += 1

    def _publish(self, number: int) -> None:
        body = json.dumps({"type": "test.event", "data": number}).encode()
        headers = {
            "Authorization": self._authorization,
            "Idempotency-Key": f"{self._key}-{number}",
            "Content-Type": "application/json",
        }
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            url = f"http://{self._address()}/api/v1/projects/{self._project_id}/events"
            try:
                with urllib.request.urlopen(
                    urllib.request.Request(url, body, headers), timeout=10
                ) as answer:
                    answer.read()
                    return
            except OSError as error:  # refused, reset, or HTTP 503
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"event {number} was not taken: {error}") from error
            time.sleep(RETRY_S)

    def finish(self) -> int:
        """Publish no more; how many events there are.

        Raises:
            TimeoutError: an event was not taken.
        """
        self._finish.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._failed is not None:
            raise TimeoutError(self._failed)
        return self.count

    def __enter__(self) -> "Publisher":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._finish.set()
        self._thread.join()
