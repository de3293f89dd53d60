"""params.yaml, checked at the door: strict, frozen, and with no defaults in code."""

import difflib
import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from warehouse_classifier.runtime.errors import Fault

FILE = Path("params.yaml")
TOP = ("lr", "seed")  # shared by stages, at the top of the file
DATA = ("bucket", "quality", "quantities", "side")  # shared by stages, in data.<scale>


class Params(BaseModel):
    """What a stage can be told. A field named in TOP or DATA is filled from there, every other from the stage's section."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    @classmethod
    def keys(cls, stage: str, scale: str) -> list[str]:
        """Where in params.yaml the fields stand: exactly what dvc.yaml has to track for the stage."""
        return sorted({_section(name, stage, scale) for name in cls.model_fields})

    @classmethod
    def load(cls, stage: str, scale: str, file: Path = FILE) -> Self:
        """Raises Fault that names the key, its value and what it must be."""
        tree = read(file)
        scales = _at(tree, stage, file)
        if scale not in scales:
            raise Fault(f"{file}: scale is {scale}, it must be one of: {', '.join(map(str, scales))}")
        values = dict(_at(tree, f"{stage}.{scale}", file))
        data = _at(tree, f"data.{scale}", file)
        for name in values.keys() & {*TOP, *DATA}:
            raise Fault(f"{file}: {stage}.{scale}.{name} is unknown, set {_section(name, stage, scale)} instead")
        for names, section, where in ((TOP, tree, ""), (DATA, data, f"data.{scale}.")):
            for name in names:
                if name in cls.model_fields:
                    if name not in section:
                        raise Fault(f"{file}: {where}{name} is missing")
                    values[name] = section[name]
        for name, value in values.items():
            try:
                json.dumps({name: value})
            except (TypeError, ValueError, RecursionError):  # a date, a loop of aliases
                key = f"{_section(str(name), stage, scale)}: {name}"
                raise Fault(f"{file}: {key} must be a plain text, number, list or mapping") from None
        try:
            # by way of JSON, where strict means the types of JSON: a list is a list, and no text is a number
            return cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            faults = [_explain(cls, detail, stage, scale) for detail in error.errors()]
            raise Fault(f"{file}: {'; '.join(faults)}") from None


def read(file: Path = FILE) -> dict[str, Any]:
    """The whole file as plain values. YAML 1.2, as DVC reads it: in YAML 1.1 the 1e-05 that `-S lr=1e-5` writes is a text."""
    try:
        tree = YAML(typ="safe", pure=True).load(file)
    except FileNotFoundError:
        raise Fault(f"{file} is missing; run from the top of the project") from None
    except OSError as error:
        raise Fault(f"{file} cannot be read ({error.strerror})") from None
    except (YAMLError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split()).partition(" To suppress this check")[0]
        raise Fault(f"{file} is not YAML: {what}") from None
    if not isinstance(tree, dict):
        raise Fault(f"{file} holds no mapping of sections")
    return tree


def _at(tree: dict[str, Any], dotted: str, file: Path) -> dict[str, Any]:
    value: Any = tree
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        raise Fault(f"{file}: the section {dotted} is missing")
    return value


def _section(name: str, stage: str, scale: str) -> str:
    if name in TOP:
        return name
    return f"data.{scale}.{name}" if name in DATA else f"{stage}.{scale}"


def _explain(cls: type[Params], detail: ErrorDetails, stage: str, scale: str) -> str:
    name, *deeper = map(str, detail["loc"])
    section = _section(name, stage, scale)
    key = ".".join([section if name in {*TOP, *DATA} else f"{section}.{name}", *deeper])
    known = [name for name in cls.model_fields if name not in {*TOP, *DATA}]
    return explain(key, detail, known)


def explain(key: str, detail: ErrorDetails, known: list[str]) -> str:
    """What pydantic has against a key, in the words of whoever wrote it. `known`: the keys there are beside it."""
    kind, context, value = detail["type"], detail.get("ctx", {}), json.dumps(detail["input"])
    if kind == "missing":
        return f"{key} is missing"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        return f"{key} is unknown" + (f", did you mean {near[0]}?" if near else f"; known are: {', '.join(known)}")
    words = {
        "greater_than": f"it must be above {context.get('gt')}",
        "greater_than_equal": f"it must be at least {context.get('ge')}",
        "less_than": f"it must be below {context.get('lt')}",
        "less_than_equal": f"it must be at most {context.get('le')}",
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
        "value_error": str(context.get("error", "")),
    }
    return f"{key} is {value}, {words.get(kind) or detail['msg'].lower()}"
