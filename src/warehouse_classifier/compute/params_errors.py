"""What pydantic has against a value of params.yaml, in the words of whoever wrote the file."""

import difflib
import json

from pydantic_core import ErrorDetails

SHOWN = 80  # characters of a value


def explain(key: str, detail: ErrorDetails, siblings: list[str]) -> str:
    """What pydantic has against a key, in the words of whoever wrote it. `siblings`: the keys there are beside it."""
    kind, context, value = detail["type"], detail.get("ctx", {}), _shown(detail["input"])
    if kind == "missing":
        return f"{key} is missing"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key.rpartition(".")[2], siblings, n=1)
        return f"{key} is unknown" + (f", did you mean {near[0]}?" if near else f"; known are: {', '.join(siblings)}")
    words = {
        "greater_than": f"it must be above {_bound(context.get('gt'))}",
        "greater_than_equal": f"it must be at least {_bound(context.get('ge'))}",
        "less_than": f"it must be below {_bound(context.get('lt'))}",
        "less_than_equal": f"it must be at most {_bound(context.get('le'))}",
        "literal_error": f"it must be {context.get('expected')}",
        "int_type": "it must be a whole number",
        "int_from_float": "it must be a whole number",
        "float_type": "it must be a number",
        "bool_type": "it must be true or false",
        "string_type": "it must be a text",
        "string_pattern_mismatch": f"it must match {context.get('pattern')}",
        "dict_type": "it must be a mapping",
        "model_type": "it must be a mapping",
        "list_type": "it must be a list",
        "finite_number": "it must be a finite number",
        "int_parsing_size": "it must be a whole number of fewer digits",
        "value_error": str(context.get("error", "")),
    }
    return f"{key} is {value}, {words.get(kind) or detail['msg'].lower()}"


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _bound(value: object) -> object:
    """0 for 0.0: whoever wrote a whole number is told one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
