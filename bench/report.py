"""Medians, ratios, tables on stdout and JSON in bench/results."""

import json
import math
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.native import HERE

RESULTS = HERE / "results"


def middle(values: Sequence[float]) -> float:
    """The median, 0 for no values."""
    return float(median(values)) if values else 0.0


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The ratios of runs that stood next to each other."""
    return [a / b for a, b in zip(ours, theirs, strict=False) if b > 0]


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of runs that stood next to each other."""
    return middle(ratios(ours, theirs))


def middle_range(values: Sequence[float]) -> tuple[float, float]:
    """Between which of these values the true median lies, in 19 of 20 cases.

    A value is below the median as often as a coin shows heads, so the ranks follow from the
    binomial distribution, here by its normal approximation; how values are spread does not matter.
    """
    count = len(values)
    rank = max(0, math.floor(count / 2 - 0.98 * math.sqrt(count)))
    found = sorted(values)
    return found[rank], found[count - 1 - rank]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lays rows out as a Markdown table, so that it can go into docs/ as it is."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def save(name: str, result: dict[str, Any]) -> Path:
    """Writes a result with what it was measured on; returns the file."""
    RESULTS.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = RESULTS / f"{name}-{stamp}.json"
    environment = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }
    path.write_text(json.dumps({"environment": environment, **result}, indent=1) + "\n")
    return path


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"
