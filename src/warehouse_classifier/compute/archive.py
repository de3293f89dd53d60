"""The code that travels to a rented machine: what one stage is made of, and nothing else of the working tree."""

import ast
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from warehouse_classifier.compute.plan import Plan
from warehouse_classifier.compute.remote import Remote
from warehouse_classifier.fault import Fault

SOURCE = Path("src")
# what runs there: the container's own module, and the launcher that it starts
ENTRIES = ("warehouse_classifier.compute.container", "warehouse_classifier.compute.__main__")
MAPS = ("dvc.yaml", "dvc.lock", "params.yaml", "pyproject.toml")


def pack(told: Plan, remote: Remote) -> bytes:
    """A tar.gz with the stage's deps that are files here, the launcher, what both import, the map and a .dvc/config.

    Raises Fault if a dep is missing or is no file.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in contents(told):
            _add(tar, name, Path(name).read_bytes())
        _add(tar, ".dvc/config", remote.config().encode())
    return out.getvalue()


def contents(told: Plan) -> list[str]:
    """The files of the working tree that travel, as paths from its top."""
    for dep in told.files:
        if not Path(dep).is_file():
            raise Fault(f"{told.stage} depends on {dep}, which is no file here and no output of another stage")
    code = {str(path) for path in [*map(Path, told.files), *map(_file, ENTRIES)] if path and path.suffix == ".py"}
    maps = [name for name in MAPS if Path(name).is_file()]
    return sorted({*told.files, *maps, *_with_imports(code)})


def _with_imports(files: set[str]) -> set[str]:
    """These modules and all of the package that they import, at once or later."""
    known: set[str] = set()
    todo = set(files)
    while todo:
        known |= todo
        todo = {str(path) for file in todo if file.startswith(f"{SOURCE}/") for path in _imports(Path(file))} - known
    return known


def _imports(file: Path) -> Iterator[Path]:
    yield from (beside for folder in file.parents[:-2] if (beside := folder / "__init__.py").is_file())
    try:
        tree = ast.parse(file.read_text())
    except SyntaxError as error:
        raise Fault(f"{file} is no Python: {error}") from None
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = file.relative_to(SOURCE).parts[: -node.level] if node.level else ()  # a relative one
            module = ".".join([*here, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            for whole in _with_parents(name):
                if path := _file(whole):
                    yield path


def _with_parents(name: str) -> Iterator[str]:
    words = name.split(".")
    return (".".join(words[: count + 1]) for count in range(len(words)))


def _file(module: str) -> Path | None:
    """Of a module of this tree."""
    path = SOURCE.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(body)
    tar.addfile(member, io.BytesIO(body))
