"""As much of MongoDB's queries, updates and expressions as the classes under simulation use.

What is not known here is refused, so that nobody takes silence for an answer.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

Document = dict[str, Any]
MISSING = object()


class Evaluation:
    """Evaluates expressions on one document.

    Attributes:
        root: the document.
        now: the database's clock.
    """

    def __init__(self, root: Document, now: datetime) -> None:
        self.root = root
        self.now = now

    def value(self, expression: Any, this: Any = MISSING) -> Any:
        if isinstance(expression, str) and expression.startswith("$"):
            if expression == "$$NOW":
                return self.now
            if expression.startswith("$$this"):
                return path_of(this, expression.removeprefix("$$this").lstrip("."))
            if expression == "$$ROOT":
                return self.root
            return path_of(self.root, expression[1:])
        if isinstance(expression, list):
            return [none_for(self.value(one, this)) for one in expression]
        if isinstance(expression, dict):
            if len(expression) == 1 and next(iter(expression)).startswith("$"):
                ((operator, argument),) = expression.items()
                return self._operation(operator, argument, this)
            found = {name: self.value(one, this) for name, one in expression.items()}
            return {name: one for name, one in found.items() if one is not MISSING}
        return expression

    def _operation(self, operator: str, argument: Any, this: Any) -> Any:
        match operator:
            case "$literal":
                return argument
            case "$filter":
                items = self.value(argument["input"], this)
                return [one for one in items if self.value(argument["cond"], one)]
            case "$map":
                items = self.value(argument["input"], this)
                return [none_for(self.value(argument["in"], one)) for one in items]
            case "$cond":
                condition, yes, no = argument
                return self.value(yes if self.value(condition, this) else no, this)
            case "$ifNull":
                first = self.value(argument[0], this)
                return self.value(argument[1], this) if first in (None, MISSING) else first
            case "$bsonSize":
                return 100
        values = [self.value(one, this) for one in as_list(argument)]
        return _SIMPLE[operator](values)


def copied(value: Any) -> Any:
    """A document, or a part of one, that its receiver may change."""
    kind = type(value)
    if kind is dict:
        return {
            name: copied(one) if type(one) is dict or type(one) is list else one
            for name, one in value.items()
        }
    return [copied(one) for one in value] if kind is list else value


def as_list(argument: Any) -> list[Any]:
    return argument if isinstance(argument, list) else [argument]


def none_for(value: Any) -> Any:
    return None if value is MISSING else value


def _add(values: list[Any]) -> Any:
    first, *others = values
    for other in others:
        first += timedelta(milliseconds=other) if isinstance(first, datetime) else other
    return first


def _slice(values: list[Any]) -> list[Any]:
    items: list[Any] = values[0]
    count = int(values[1])
    return items[:count] if count >= 0 else items[count:]


def _merge(values: list[Any]) -> Document:
    return {name: one for value in values for name, one in value.items()}


_SIMPLE: dict[str, Any] = {
    "$add": _add,
    "$subtract": lambda v: v[0] - v[1],
    "$slice": _slice,
    "$size": lambda v: len(v[0]),
    "$concatArrays": lambda v: [one for each in v for one in each],
    "$mergeObjects": _merge,
    "$in": lambda v: v[0] in v[1],
    "$and": all,
    "$or": any,
    "$not": lambda v: not v[0],
    "$eq": lambda v: v[0] == v[1],
    "$ne": lambda v: v[0] != v[1],
    # What is missing stands before everything else.
    "$gt": lambda v: v[0] is not MISSING and v[0] > v[1],
    "$gte": lambda v: v[0] is not MISSING and v[0] >= v[1],
    "$lt": lambda v: v[0] is MISSING or v[0] < v[1],
    "$lte": lambda v: v[0] is MISSING or v[0] <= v[1],
    "$indexOfBytes": lambda v: v[0].find(v[1]),
}


def path_of(value: Any, path: str) -> Any:
    """What stands at a dotted path; of an array, of each of its members."""
    if type(value) is dict and path in value:
        return value[path]
    for name in path.split(".") if path else ():
        if isinstance(value, list):
            found = [path_of(one, name) for one in value]
            value = [one for one in found if one is not MISSING]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return MISSING
    return value


Predicate = Callable[[Document], bool]


def predicate(query: Mapping[str, Any], now: datetime) -> Predicate:
    """Whether a document is selected."""
    tests = [_test(name, wanted, now) for name, wanted in query.items()]
    return lambda document: all(test(document) for test in tests)


def _test(name: str, wanted: Any, now: datetime) -> Predicate:
    match name:
        case "$expr":
            return lambda document: bool(Evaluation(document, now).value(wanted))
        case "$or":
            some = [predicate(one, now) for one in wanted]
            return lambda document: any(test(document) for test in some)
        case "$nor":
            none = [predicate(one, now) for one in wanted]
            return lambda document: not any(test(document) for test in none)
    if type(wanted) is dict and any(key.startswith("$") for key in wanted):
        return lambda document: _compares_all(path_of(document, name), wanted)
    return lambda document: _is(path_of(document, name), wanted)


def _is(found: Any, wanted: Any) -> bool:
    return bool(none_for(found) == wanted or (type(found) is list and wanted in found))


def _compares_all(found: Any, wanted: Document) -> bool:
    return all(_compares(found, operator, value) for operator, value in wanted.items())


def selected(
    documents: Mapping[Any, Document], query: Mapping[str, Any], now: datetime
) -> list[Document]:
    """The documents of a collection, by their `_id`, that are selected."""
    identity = query.get("_id")
    if identity is not None and type(identity) is not dict:
        among = [documents[identity]] if identity in documents else []
    else:
        among = list(documents.values())
    return list(filter(predicate(query, now), among))


def piped(documents: list[Document], stages: list[Document], now: datetime) -> list[Document]:
    """What the stages of an aggregation make of documents."""
    for stage in stages:
        match stage:
            case {"$match": query}:
                documents = list(filter(predicate(query, now), documents))
            case {"$project": projection}:
                documents = [projected(one, projection, now) for one in documents]
            case {"$set": fields}:
                documents = [updated(one, [{"$set": fields}], now) for one in documents]
            case {"$unwind": {"path": path, "includeArrayIndex": index}}:
                name = path.removeprefix("$")
                documents = [
                    {**one, name: value, index: place}
                    for one in documents
                    for place, value in enumerate(one[name])
                ]
            case {"$group": {"_id": key, "count": {"$sum": 1}}}:
                keys = [Evaluation(one, now).value(key) for one in documents]
                documents = [
                    {"_id": key, "count": keys.count(key)}
                    for place, key in enumerate(keys)
                    if key not in keys[:place]
                ]
            case _:
                raise NotImplementedError(stage)
    return documents


def _compares(found: Any, operator: str, value: Any) -> bool:
    match operator:
        case "$exists":
            # Of an array a path is there where it is in one of its members.
            return bool((found is not MISSING and found != []) == value)
        case "$in":
            return found in value
        case "$ne":
            return bool(found != value)
    return found is not MISSING and bool(_SIMPLE[operator]([found, value]))


def updated(document: Document, update: Any, now: datetime) -> Document:
    """The document after an update, by operators or by a pipeline.

    No document is ever changed in place, so what stays as it was is shared between the two.
    """
    result = dict(document)
    for stage in as_list(update):
        for operator, fields in stage.items():
            _apply(result, operator, fields, now, by_pipeline=isinstance(update, list))
    return result


def _apply(
    result: Document, operator: str, fields: Any, now: datetime, *, by_pipeline: bool
) -> None:
    if operator == "$set" and by_pipeline:
        before = Evaluation(result, now)
        values = {name: before.value(one) for name, one in fields.items()}
        result.update({name: one for name, one in values.items() if one is not MISSING})
        return
    for name in fields if isinstance(fields, dict) else as_list(fields):
        match operator:
            case "$set":
                result[name] = copied(fields[name])
            case "$unset":
                result.pop(name.lstrip("$"), None)
            case "$currentDate":
                result[name] = now
            case "$max":
                result[name] = max(result.get(name, fields[name]), fields[name])
            case "$push":
                match fields[name]:
                    case {"$each": added, "$slice": count}:
                        result[name] = [*result.get(name, []), *copied(added)][count:]
                    case added:
                        result[name] = [*result.get(name, []), copied(added)]
            case "$pull":
                goes = predicate(fields[name], now)
                result[name] = [one for one in result.get(name, []) if not goes(one)]
            case _:
                raise NotImplementedError(operator)


def projected(document: Document, projection: Mapping[str, Any] | None, now: datetime) -> Document:
    """What is given out of a document."""
    if not projection:
        return {name: copied(one) for name, one in document.items()}
    result: Document = {} if projection.get("_id") == 0 else {"_id": document["_id"]}
    evaluation = Evaluation(document, now)
    for name, wanted in projection.items():
        if name != "_id":
            value = path_of(document, name) if wanted == 1 else evaluation.value(wanted)
            if value is not MISSING:
                result[name] = copied(value)
    return result
