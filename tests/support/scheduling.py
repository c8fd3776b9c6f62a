"""Which process of a run takes which file of tests."""

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

BROWSER = "tests/browser/"


class BrowsersInHalf(LoadFileScheduling):  # type: ignore[misc]
    """Files in the order of their names, but those that drive a browser in half of the processes.

    A browser keeps a processor busy, and most other tests wait: side by side they take less time
    than one after the other, and no browser waits for the others' turns. Half as many processes
    start one.
    """

    def _assign_work_unit(self, node: WorkerController) -> None:
        takes_browser = self.nodes.index(node) < max(1, len(self.nodes) // 2)
        for file in self.workqueue:
            if file.startswith(BROWSER) is takes_browser:
                self.workqueue.move_to_end(file, last=False)
                break
        super()._assign_work_unit(node)
