"""What a validator's report finds, each finding with the file and the line that it is about.

OpenSpec names a file, seldom a line, and often a requirement in its words. So where the report has
no line, it is that of the heading which is named.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from rtserver.model.run import FindingJson
from rtserver.revisions.requirements import Heading, headings_of

MAX_FINDINGS = 500
MAX_MESSAGE_CHARS = 1_000
SPECS = "specs/"

_OPERATION = re.compile(r"\b(ADDED|MODIFIED|REMOVED|RENAMED)\b")
_QUOTED = re.compile(r'"([^"]+)"')
_QUOTED_WITH_QUOTES = re.compile(r'"(.+)"')


def findings_in(
    report: Any, texts: Mapping[str, str], max_bytes: int
) -> tuple[list[FindingJson], int]:
    """The findings of a report in OpenSpec's form, and how many more there are than are returned.

    Args:
        report: the validator's JSON. One of another form has no findings.
        texts: the proposal's files, by path relative to its folder.
        max_bytes: so much of JSON at most.
    """
    headings: dict[str, dict[str, list[Heading]]] = {}
    findings: list[FindingJson] = []
    size_bytes = left_out = 0
    for issue in _issues(report):
        finding = _finding(issue, texts, headings)
        size_bytes += len(msgspec.json.encode(finding))
        if len(findings) == MAX_FINDINGS or size_bytes > max_bytes:
            left_out += 1
        else:
            findings.append(finding)
    return findings, left_out


def _issues(report: Any) -> Iterator[Mapping[str, Any]]:
    items = report.get("items") if isinstance(report, Mapping) else None
    for item in items if isinstance(items, list) else ():
        issues = item.get("issues") if isinstance(item, Mapping) else None
        yield from (
            issue
            for issue in (issues if isinstance(issues, list) else ())
            if isinstance(issue, Mapping)
        )


def _finding(
    issue: Mapping[str, Any],
    texts: Mapping[str, str],
    headings: dict[str, dict[str, list[Heading]]],
) -> FindingJson:
    message = " ".join(str(issue.get("message", "")).split())
    file = _file(issue.get("path"), texts)
    line = issue.get("line")
    if not isinstance(line, int) or isinstance(line, bool) or line < 1:
        line = None
    if line is None and file is not None:
        if file not in headings:
            headings[file] = {}
            for heading in headings_of(texts[file]):
                headings[file].setdefault(heading.name, []).append(heading)
        line = _line_of_named(message, headings[file])
    return {
        "file": file,
        "line": line if file is not None else None,
        "level": str(issue.get("level", "")).lower()[:20],
        "message": message
        if len(message) <= MAX_MESSAGE_CHARS
        else f"{message[:MAX_MESSAGE_CHARS]}...",
    }


def _file(path: Any, texts: Mapping[str, str]) -> str | None:
    """The file that a path of the report means: OpenSpec leaves `specs/` out."""
    if not isinstance(path, str):
        return None
    return next((file for file in (path, SPECS + path) if file in texts), None)


def _line_of_named(message: str, headings: Mapping[str, list[Heading]]) -> int | None:
    """Where the heading stands that is the first to be named in quotes.

    Of several of one name, one in the section that the message names; of a duplicate the last.
    """
    quoted = (*_QUOTED.findall(message), *_QUOTED_WITH_QUOTES.findall(message))
    found = next((headings[name] for name in quoted if name in headings), None)
    if found is None:
        return None
    section = _OPERATION.search(message)
    fitting = [
        heading
        for heading in found
        if section is not None and heading.section == section[1].lower()
    ]
    among = fitting or found
    return among[-1 if "duplicate" in message.lower() else 0].line
