"""What modules of this tree, and packages of others, a model that MLflow keeps imports, at once or later."""

import ast
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

from warehouse_classifier.runtime.errors import UserError


def own(files: Iterable[Path], source: Path) -> set[Path]:
    """These files below `source`, and all modules there that they import. Raises UserError."""
    modules: set[Path] = set()
    todo = set(files)
    while todo:
        modules |= todo
        todo = {path for file in todo for path in _imports(file, source)} - modules
    return modules


def requirements(files: Iterable[Path]) -> list[str]:
    """What is to be installed for these modules to work, as it is here: name==version. Raises UserError."""
    distributions = packages_distributions()
    names = {name.partition(".")[0] for file in files for name, level in _names(file) if not level}
    others = names - sys.stdlib_module_names - {__name__.partition(".")[0]}
    # several may bring one package: its own name, or else any of them
    chosen = {
        name if name in distributions[name] else distributions[name][0] for name in others if name in distributions
    }
    return sorted(f"{name}=={version(name)}" for name in chosen)


def _file_of(module: str, source: Path) -> Path | None:
    path = source.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imports(file: Path, source: Path) -> Iterator[Path]:
    folders = [folder for folder in file.parents if folder != source and folder.is_relative_to(source)]
    yield from (beside for folder in folders if (beside := folder / "__init__.py").is_file())
    for name, level in _names(file):
        here = file.relative_to(source).parts[:-level] if level else ()  # a relative one
        words = [*here, *name.split(".")] if name else [*here]
        for count in range(1, len(words) + 1):
            if path := _file_of(".".join(words[:count]), source):
                yield path


def _names(file: Path) -> Iterator[tuple[str, int]]:
    """Every dotted name that may be a module's, and how many folders up it is meant from."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{file} is no Python: {error}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level
            for alias in node.names:
                yield ".".join(filter(None, (node.module, alias.name))), node.level
