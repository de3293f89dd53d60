"""params.yaml, checked at the door: the whole file for the scale in use, before any stage begins.

A wrong value of the last stage is reported in the first second of the first one, and not after hours of work.
"""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from warehouse_classifier.compute import stage_code
from warehouse_classifier.compute.params_errors import explain
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.params import DATA, TOP, Params, section

FILE = Path("params.yaml")
Tree = dict[str, Any]
P = TypeVar("P", bound=Params)


def read(file: Path = FILE) -> Tree:
    """The whole file as plain values. YAML 1.2, as DVC reads it: in YAML 1.1 the 1e-05 that `-S lr=1e-5` writes is a text.

    Raises UserError where it is missing or no YAML.
    """
    try:
        tree = YAML(typ="safe", pure=True).load(file)
    except FileNotFoundError:
        raise UserError(f"{file} is missing; run from the top of the project") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror})") from None
    except (YAMLError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split()).partition(" To suppress this check")[0]
        raise UserError(f"{file} is not YAML: {what}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{file} holds no mapping of sections")
    return tree


def checked(stage: str, argv: list[str], tree: Tree) -> Params:
    """The stage's parameters. Raises UserError if they, or those of any other stage at this scale, are wrong."""
    scale, *paths = argv
    names = stage_code.paths_of(stage)
    if len(paths) < len(names) or (len(paths) > len(names) and not names[-1].endswith(stage_code.MORE)):
        raise UserError(
            f"{stage} takes {len(names)} paths ({', '.join(names)}), and its command has {len(paths)}; see dvc.yaml"
        )
    params = load(stage_code.params_of(stage), stage, scale, tree)
    check(scale, tree)
    return params


def check(scale: str, tree: Tree) -> None:
    """Raises UserError for the first stage whose parameters at this scale are wrong, in the order of the stages' names.

    Every stage whose code is here is asked: a rented machine has that of one alone.
    """
    for stage in stage_code.names():
        load(stage_code.params_of(stage), stage, scale, tree)


def load(cls: type[P], stage: str, scale: str, tree: Tree) -> P:
    """The parameters of one stage. Raises UserError that names the key, its value and what it must be."""
    values = _values(cls, stage, scale, tree)
    for name, value in values.items():
        try:
            json.dumps({name: value})
        except (TypeError, ValueError, RecursionError):  # a date, a loop of aliases, a number of thousands of digits
            key = f"{section(str(name), stage, scale)}: {name}"
            raise UserError(f"{FILE}: {key} must be a plain text, number, list or mapping") from None
    try:
        # by way of JSON, where strict means the types of JSON: a list is a list, and no text is a number
        return cls.model_validate_json(json.dumps(values))
    except ValidationError as error:
        problems = [_explained(cls, detail, stage, scale) for detail in error.errors()]
        raise UserError(f"{FILE}: {'; '.join(problems)}") from None


def at(tree: Any, dotted: str) -> Any:
    """What stands under a dotted name, or None."""
    for name in dotted.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _values(cls: type[Params], stage: str, scale: str, tree: Tree) -> dict[str, Any]:
    """What the file says to each field of the stage."""
    scales = _section_of(tree, stage)
    if scale not in scales:
        raise UserError(f"{FILE}: scale is {scale}, it must be one of: {', '.join(map(str, scales))}")
    values = dict(_section_of(tree, f"{stage}.{scale}"))
    data = _section_of(tree, f"data.{scale}")
    for name in values.keys() & {*TOP, *DATA}:
        raise UserError(f"{FILE}: {stage}.{scale}.{name} is unknown, set {section(name, stage, scale)} instead")
    for names, block, where in ((TOP, tree, ""), (DATA, data, f"data.{scale}.")):
        for name in names:
            if name in cls.model_fields:
                if name not in block:
                    raise UserError(f"{FILE}: {where}{name} is missing")
                values[name] = block[name]
    return values


def _section_of(tree: Tree, dotted: str) -> dict[str, Any]:
    value = at(tree, dotted)
    if not isinstance(value, dict):
        raise UserError(f"{FILE}: the section {dotted} is missing")
    return value


def _explained(cls: type[Params], detail: ErrorDetails, stage: str, scale: str) -> str:
    name, *deeper = map(str, detail["loc"])
    where = section(name, stage, scale)
    key = ".".join([where if name in {*TOP, *DATA} else f"{where}.{name}", *deeper])
    return explain(key, detail, [name for name in cls.model_fields if name not in {*TOP, *DATA}])
