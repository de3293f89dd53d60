"""The one right list of a stage's code in dvc.yaml, computed from its imports: `python tests/support/deps.py` prints each.

A folder is named if and only if the stage uses every module in it, else its modules are named one by one. A template counts as
used where its folder is named or a module beside it with the same first name is used.
"""

from collections.abc import Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "warehouse_classifier"
SOURCE = ROOT / "src" / PACKAGE

Graph = grimp.ImportGraph


def graph() -> Graph:
    return grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)


def code(stage: str, imports: Graph) -> set[Path]:
    """The files that a stage is made of, but for packages' `__init__.py`, which hold nothing but a docstring."""
    own = f"{PACKAGE}.stages.{stage}"
    used = {own, *(module for module in imports.find_upstream_modules(own) if module.split(".")[0] == PACKAGE)}
    modules = {SOURCE.parent.joinpath(*module.split(".")).with_suffix(".py") for module in used}
    beside = {
        file for module in modules for file in module.parent.glob("*.j2") if file.name.split(".")[0] == module.stem
    }
    return {module for module in modules if module.is_file()} | beside


def deps(stage: str, imports: Graph) -> list[str]:
    """Of one stage, as dvc.yaml has to name them: folders that it uses whole, and files of the others."""
    return sorted(path.relative_to(ROOT).as_posix() for path in _deps(SOURCE, code(stage, imports)))


def _deps(folder: Path, used: set[Path]) -> Iterator[Path]:
    if all(module in used for module in modules(folder)):
        yield folder
        return
    for path in folder.iterdir():
        if path.is_dir() and any(path in file.parents for file in used):
            yield from _deps(path, used)
        elif path in used:
            yield path


def modules(folder: Path) -> set[Path]:
    """What a stage has to import to use all of a folder."""
    return {file for file in folder.rglob("*.py") if file.name != "__init__.py"}


def main() -> None:
    imports = graph()
    for file in sorted((SOURCE / "stages").glob("*.py")):
        if file.name != "__init__.py":
            print(f"  {file.stem}:\n    deps:", *(f"      - {dep}" for dep in deps(file.stem, imports)), sep="\n")


if __name__ == "__main__":
    main()
