"""A whole params.yaml for a benchmark's own scale: each door checks all stages, whichever one is measured."""

import copy
import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TOP = Path(__file__).resolve().parents[1]


def settings(scale: str, top: dict[str, Any], **sections: dict[str, Any]) -> str:
    """The project's values of `sample` under the name of `scale`, but for those given. `top`: keys such as lr and seed."""
    tree = YAML(typ="safe", pure=True).load(TOP / "params.yaml")
    blocks = {
        name: {scale: {**copy.deepcopy(section["sample"]), **sections.get(name, {})}}
        for name, section in tree.items()
        if isinstance(section, dict) and "sample" in section
    }
    out = io.StringIO()
    YAML(typ="safe", pure=True).dump({**tree, **blocks, "scale": scale, **top}, out)
    return out.getvalue()
