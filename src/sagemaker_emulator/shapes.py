"""What botocore's model of a service says of a request, all of it: botocore itself checks types and minima alone."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

# Java's classes, which the service's patterns use and Python's `re` lacks; they stand inside of brackets everywhere
JAVA = {
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}
KINDS: dict[str, tuple[type, ...]] = {
    "structure": (dict,), "map": (dict,), "list": (list,), "string": (str,), "boolean": (bool,),
    "integer": (int,), "long": (int,), "float": (int, float), "double": (int, float), "timestamp": (int, float),
}  # fmt: skip


class WrongType(Exception):
    """A value of a wrong kind, which no service gets as far as checking."""


def violations(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield what is wrong, in the service's words. Raises WrongType.

    `shape`: botocore's, with all that hangs on it; `value`: as it came out of JSON, where null is the same as nothing.
    """
    kind = shape.type_name
    if not _fits(kind, value):
        raise WrongType(f"{type(value).__name__} at '{path}' can not be converted to {kind}")
    yield from _at(path, value, [says for says, holds in constraints(shape) if not holds(value)])
    if kind == "structure":
        for name in sorted({*value, *shape.required_members}):
            deeper = f"{path}.{name[:1].lower()}{name[1:]}".lstrip(".")
            if name not in shape.members:
                yield from _at(deeper, value[name], ["Member must be one that the service knows"])
            elif value.get(name) is not None:
                yield from violations(shape.members[name], value[name], deeper)
            elif name in shape.required_members:
                yield f"Value null at '{deeper}' failed to satisfy constraint: Member must not be null"
    elif kind == "list":
        for number, member in enumerate(value, start=1):
            yield from violations(shape.member, member, f"{path}.{number}.member")
    elif kind == "map":
        for what, part, members in (("keys", shape.key, value.keys()), ("value", shape.value, value.values())):
            if any([*violations(part, member, path)] for member in members):
                every = ", ".join(says for says, _ in constraints(part))
                yield from _at(path, value, [f"Map {what} must satisfy constraint: [{every}]"])


def refusal(violated: list[str]) -> str:
    """One sentence of them all."""
    return f"{len(violated)} validation error{'s' * (len(violated) > 1)} detected: {'; '.join(violated)}"


def constraints(shape: Any) -> list[tuple[str, Callable[[Any], bool]]]:
    """What must hold of a value itself, in words and as a test."""
    rules, number = shape.metadata, shape.type_name in ("integer", "long", "float", "double")
    what, size = ("value", lambda value: value) if number else ("length", len)
    constraints: list[tuple[str, Callable[[Any], bool]]] = []
    if rules.get("enum"):
        among = ", ".join(rules["enum"])
        constraints.append((f"Member must satisfy enum value set: [{among}]", lambda value: value in rules["enum"]))
    if "max" in rules:
        says = f"Member must have {what} less than or equal to {rules['max']}"
        constraints.append((says, lambda value: size(value) <= rules["max"]))
    if "min" in rules:
        says = f"Member must have {what} greater than or equal to {rules['min']}"
        constraints.append((says, lambda value: size(value) >= rules["min"]))
    if "pattern" in rules:
        says = f"Member must satisfy regular expression pattern: {rules['pattern']}"
        constraints.append((says, lambda value: _pattern(rules["pattern"]).fullmatch(value) is not None))
    return constraints


def _fits(kind: str, value: Any) -> bool:
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


@cache
def _pattern(java: str) -> "re.Pattern[str]":
    python = java
    for theirs, ours in JAVA.items():
        python = python.replace(theirs, ours)
    return re.compile(python, 0 if r"\p" in java else re.ASCII)


def _at(path: str, value: Any, says: list[str]) -> Iterator[str]:
    for what in says:
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: {what}"
