"""The laws of the design, read from the project itself. Each check is a function over (map, graph), tried on broken maps too."""

import ast
import copy
import importlib
import os
import pkgutil
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from support import deps
from support.deps import PACKAGE, ROOT, SOURCE
from support.groups import SHARED
from support.launching import stand_in
from warehouse_classifier import stages
from warehouse_classifier.compute import dvc_hash, local, parameters, stage_code, tracked_run
from warehouse_classifier.compute.stage_code import params_of
from warehouse_classifier.runtime.params import DATA, TOP

MODULES = sorted(SOURCE.rglob("*.py"))
WATCHERS = {"mlflow", "tqdm", f"{PACKAGE}.tracking", f"{PACKAGE}.compute"}

Map = dict[str, Any]


def read(name: str) -> Map:
    tree: Map = YAML(typ="safe", pure=True).load(ROOT / name)
    return tree


PIPELINE, PARAMS = read("dvc.yaml"), read("params.yaml")
STAGES = sorted(module.name for module in pkgutil.iter_modules(stages.__path__))


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return deps.graph()


def module_of(stage: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.stages.{stage}")


# ---- checks


def outs_of(stage: Map) -> set[str]:
    return {*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])}


def paths_of(stage: Map) -> set[str]:
    """The paths in a stage's command: PYTHONPATH=src python -m warehouse_classifier.compute <stage> <scale> <paths>."""
    return set(stage["cmd"].split()[6:])


def files_of(name: str, table: Map) -> set[str]:
    """The data that a stage reads: where its command names a folder with other stages' outputs, these one by one."""
    made = {out for stage in table.values() for out in outs_of(stage)}
    read = set()
    for path in paths_of(table[name]):
        inside = {out for out in made if Path(out).is_relative_to(path)}
        read |= inside or {path}
    return read - outs_of(table[name])


def wrong_deps(pipeline: Map, graph: grimp.ImportGraph) -> list[str]:
    wrong = []
    for name, stage in pipeline["stages"].items():
        code, declared, paths = {*deps.deps(name, graph)}, stage["deps"], paths_of(stage)
        needed = code | files_of(name, pipeline["stages"])
        wrong += [f"{name}: deps lack {path}" for path in sorted(needed - {*declared})]
        wrong += [
            f"{name}: deps name {path}, {why_not(path, code, graph, name)}" for path in sorted({*declared} - needed)
        ]
        wrong += [
            f"{name}: deps name {path} twice"
            for path in sorted({path for path in declared if declared.count(path) > 1})
        ]
        hidden = [out for out in outs_of(stage) if not any(Path(out).is_relative_to(path) for path in paths)]
        wrong += [f"{name}: cmd does not name {out}" for out in sorted(hidden)]
    return wrong


def why_not(path: str, code: set[str], graph: grimp.ImportGraph, stage: str) -> str:
    """Why a stage's deps are not to name this."""
    if whole := [dep for dep in code if Path(path).is_relative_to(dep)]:
        return f"which lies in {whole[0]}"
    if unused := deps.modules(ROOT / path) - deps.code(stage, graph):
        return f"of which it does not use {', '.join(sorted(str(file.relative_to(ROOT / path)) for file in unused))}"
    return "which it does not use"


def wrong_params(pipeline: Map) -> list[str]:
    wrong = []
    for name, stage in pipeline["stages"].items():
        needed, declared = params_of(name).keys(name, "${scale}"), sorted(stage.get("params", []))
        if needed != declared:
            wrong.append(f"{name}: params are {declared}, it reads {needed}")
    return wrong


def orphans(pipeline: Map) -> list[str]:
    """Stages without a file and files without a stage, inputs from nowhere, and stages but the last that nobody reads."""
    table = pipeline["stages"]
    wrong = [f"{name}: only one of stage and file" for name in sorted({*table} ^ {*STAGES})]
    made = {out for stage in table.values() for out in outs_of(stage)}
    read = {dep for stage in table.values() for dep in stage["deps"]}
    wrong += [
        f"{name}: {dep} comes from nowhere"
        for name, stage in table.items()
        for dep in stage["deps"]
        if dep not in made and not (ROOT / dep).exists()
    ]
    return wrong + [f"{name}: nobody reads it" for name in list(table)[:-1] if not outs_of(table[name]) & read]


def dead_numbers(tree: Map) -> list[str]:
    """Keys of params.yaml that no stage reads, and keys that only one scale has."""
    read = {name: {*params_of(name).model_fields} for name in STAGES}
    shared = set().union(*read.values())
    wrong = [f"{key} is unknown" for key in sorted({*tree} - {"scale", "data", "sagemaker", *TOP, *STAGES})]
    wrong += [f"{key} is read by no stage" for key in TOP if key not in shared]
    for section in ("data", *STAGES):
        allowed = {*DATA} & shared if section == "data" else read[section] - {*TOP, *DATA}
        for scale, block in tree[section].items():
            wrong += [f"{section}.{scale}.{key} is read by no stage" for key in sorted({*block} - allowed)]
            wrong += [f"{section}.{scale}.{key} is missing" for key in sorted(allowed - {*block})]
        if {*tree[section]} != {"sample", "real", "full"}:
            wrong.append(f"{section}: its scales are {', '.join(tree[section])}")
    return wrong


def leaves(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield str(key)
            yield from leaves(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from leaves(value)
    else:
        yield str(tree)


# ---- the checks see what is wrong


def doctored(stage: str, key: str, *, add: str | None = None, drop: str | None = None) -> Map:
    broken = copy.deepcopy(PIPELINE)
    values = broken["stages"][stage][key]
    if add:
        values.append(add)
    if drop:
        values.remove(drop)
    return broken


@pytest.mark.parametrize(
    "path", ["src/warehouse_classifier/synthetic", "src/warehouse_classifier/dataset/photo.py", "data/selection.csv"]
)
def test_a_missing_dep_is_seen(path: str, graph: grimp.ImportGraph) -> None:
    assert wrong_deps(doctored("resize_images", "deps", drop=path), graph) == [f"resize_images: deps lack {path}"]


def test_a_missing_template_is_seen(graph: grimp.ImportGraph) -> None:
    """Where a folder is not used whole; its templates are named with the modules that they stand beside."""
    own = copy.deepcopy(graph)
    own.remove_import(importer=f"{PACKAGE}.report.page", imported=f"{PACKAGE}.report.gallery")
    for user in own.find_modules_that_directly_import(f"{PACKAGE}.report.gallery"):
        own.remove_import(importer=user, imported=f"{PACKAGE}.report.gallery")
    wrong = wrong_deps(PIPELINE, own)
    assert wrong[-1] == "evaluate: deps name src/warehouse_classifier/report, of which it does not use gallery.py"
    assert "evaluate: deps lack src/warehouse_classifier/report/page.py" in wrong
    templates = [line for line in wrong if line.endswith(".j2")]
    assert templates == [
        f"evaluate: deps lack {file.relative_to(ROOT)}" for file in sorted((SOURCE / "report").glob("*.j2"))
    ]
    assert len(templates) > 1


@pytest.mark.parametrize(
    ("dep", "why"),
    [
        ("models/vit.py", "which it does not use"),
        (
            "cli",
            r"of which it does not use __main__.py, check/.*, report/records.py, report/runs.py, report/speed_chart\.py",
        ),
        ("models", r"of which it does not use .*\bvit\.py"),
        ("training/loop.py", "which lies in src/warehouse_classifier/training"),
        ("training/unwritten.py", "which lies in src/warehouse_classifier/training"),
    ],
)
def test_a_dep_too_many_is_seen(dep: str, why: str, graph: grimp.ImportGraph) -> None:
    path = f"src/{PACKAGE}/{dep}"
    (wrong,) = wrong_deps(doctored("train_resnet34", "deps", add=path), graph)
    assert re.fullmatch(f"train_resnet34: deps name {path}, {why}", wrong)


def test_a_folder_of_which_one_module_is_not_used_is_seen(graph: grimp.ImportGraph) -> None:
    """As when somebody adds a module to training/ that one network alone needs."""
    own = copy.deepcopy(graph)
    for user in own.find_modules_that_directly_import(f"{PACKAGE}.training.batchnorm"):
        own.remove_import(importer=user, imported=f"{PACKAGE}.training.batchnorm")
    own.add_import(importer=f"{PACKAGE}.stages.train_vit", imported=f"{PACKAGE}.training.batchnorm")
    others = [path for path in sorted(deps.modules(SOURCE / "training")) if path.stem != "batchnorm"]
    assert wrong_deps(PIPELINE, own) == [
        line
        for stage in PIPELINE["stages"]
        if "src/warehouse_classifier/training" in PIPELINE["stages"][stage]["deps"] and stage != "train_vit"
        for line in (
            *(f"{stage}: deps lack {path.relative_to(ROOT)}" for path in others),
            f"{stage}: deps name src/{PACKAGE}/training, of which it does not use batchnorm.py",
        )
    ]


def test_a_folder_that_is_used_whole_is_to_be_named_and_not_its_modules(graph: grimp.ImportGraph) -> None:
    broken = doctored("select_images", "deps", drop=f"src/{PACKAGE}/runtime")
    modules = sorted(path.relative_to(ROOT).as_posix() for path in deps.modules(SOURCE / "runtime"))
    broken["stages"]["select_images"]["deps"] += modules
    assert wrong_deps(broken, graph) == [
        f"select_images: deps lack src/{PACKAGE}/runtime",
        *(f"select_images: deps name {path}, which lies in src/{PACKAGE}/runtime" for path in modules),
    ]


def test_an_import_that_the_map_does_not_tell_of_is_seen(graph: grimp.ImportGraph) -> None:
    own = copy.deepcopy(graph)
    own.add_import(importer=f"{PACKAGE}.bins.selection", imported=f"{PACKAGE}.tracking.console")
    wanted = [f"{name}: deps lack src/{PACKAGE}/tracking/console.py" for name in ("select_images", "resize_images")]
    assert wrong_deps(PIPELINE, own) == wanted


def test_data_that_the_command_does_not_name_and_data_that_it_names_alone_are_seen(graph: grimp.ImportGraph) -> None:
    broken = doctored("train_vit", "deps", add="data/selection.csv")
    assert wrong_deps(broken, graph) == ["train_vit: deps name data/selection.csv, which it does not use"]
    # a folder in the command stands for what other stages leave in it
    broken = doctored("evaluate", "deps", drop="models/vit")
    broken["stages"]["evaluate"]["cmd"] = PIPELINE["stages"]["evaluate"]["cmd"] + " models"
    assert wrong_deps(broken, graph) == ["evaluate: deps lack models/vit"]


def test_an_output_that_the_command_does_not_name_is_seen(graph: grimp.ImportGraph) -> None:
    broken = doctored("select_images", "outs", add="data/extra.csv")
    assert wrong_deps(broken, graph) == ["select_images: cmd does not name data/extra.csv"]


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("train_vit", {"add": "train_resnet34.${scale}"}),
        ("train_vit", {"drop": "lr"}),
        ("evaluate", {"drop": "data.${scale}.quantities"}),
        ("select_images", {"add": "scale"}),
    ],
)
def test_foreign_and_missing_params_are_seen(stage: str, change: dict[str, str]) -> None:
    (wrong,) = wrong_params(doctored(stage, "params", **change))
    assert wrong.startswith(f"{stage}: params are")


def test_an_orphan_is_seen() -> None:
    broken = copy.deepcopy(PIPELINE)
    broken["stages"]["resize_picture"] = broken["stages"].pop("resize_images")
    assert "resize_images: only one of stage and file" in orphans(broken)
    broken = doctored("evaluate", "deps", drop="models/verifier")
    assert orphans(broken) == ["train_verifier: nobody reads it"]
    assert orphans(doctored("evaluate", "deps", add="data/none.csv")) == ["evaluate: data/none.csv comes from nowhere"]


def test_a_dead_number_is_seen() -> None:
    broken = copy.deepcopy(PARAMS)
    broken["train_vit"]["full"]["dropout"] = 0.1
    broken["data"]["sample"]["colour"] = "grey"
    del broken["evaluate"]["full"]["batch"]
    broken["speed"] = 3
    assert dead_numbers(broken) == [
        "speed is unknown",
        "data.sample.colour is read by no stage",
        "evaluate.full.batch is missing",
        "train_vit.full.dropout is read by no stage",
    ]


# ---- the laws


def test_deps_are_what_a_stage_uses(graph: grimp.ImportGraph) -> None:
    assert wrong_deps(PIPELINE, graph) == []


def test_params_are_what_a_stage_reads() -> None:
    assert wrong_params(PIPELINE) == []


def test_no_stage_is_an_orphan() -> None:
    assert orphans(PIPELINE) == []


def test_no_module_is_an_orphan(graph: grimp.ImportGraph) -> None:
    used = set().union(*(graph.find_upstream_modules(f"{PACKAGE}.stages.{name}") for name in STAGES))
    commands = ("__main__", "sagemaker.container", "sagemaker.image", "sagemaker.stop")
    entries = {*(f"{PACKAGE}.compute.{name}" for name in commands), f"{PACKAGE}.cli.__main__"}
    for entry in entries:
        used |= graph.find_upstream_modules(entry)
    rooms = {".".join(file.parent.relative_to(SOURCE.parent).parts) for file in SOURCE.rglob("__init__.py")}
    ours = {module for module in graph.modules if module.split(".")[0] == PACKAGE}
    assert sorted(ours - used - entries - rooms - {f"{PACKAGE}.stages.{name}" for name in STAGES}) == []


@pytest.mark.parametrize("package", sorted(SOURCE.rglob("__init__.py")), ids=lambda file: file.parent.name)
def test_a_package_holds_a_docstring_and_nothing_else(package: Path) -> None:
    """So that no stage depends on it, though every import runs it."""
    (only,) = ast.parse(package.read_text()).body
    assert isinstance(only, ast.Expr)
    assert isinstance(only.value, ast.Constant)


@pytest.mark.parametrize("stage", STAGES)
def test_one_name_in_six_places(stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = PIPELINE["stages"][stage]
    # PYTHONPATH: an experiment in a copy of the project runs the copy's code, not the code that happens to be installed
    launcher = ["PYTHONPATH=src", "python", "-m", "warehouse_classifier.compute"]
    assert spec["cmd"].split()[:6] == [*launcher, stage, "${scale}"]
    assert spec["desc"]
    assert isinstance(PARAMS[stage], dict)
    act = getattr(module_of(stage), stage)
    assert act.__module__ == f"{PACKAGE}.stages.{stage}"
    assert (ROOT / "tests/stages" / f"test_{stage}.py").is_file()

    # and the run's name, which is the stage's by tests/tracking/test_mlflow_run.py
    runs = []

    class Told:
        def __init__(self, stage: str, params: dict[str, Any], inputs: str) -> None:
            runs.append(stage)

        def end(self, status: str) -> None:
            runs.append(status)

    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(tracked_run, "MlflowRun", Told)
    stand_in(monkeypatch, stage, lambda _: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        local.run(stage, ["sample", *stage_code.paths_of(stage)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert runs == [stage, "FINISHED"]


def test_no_number_is_dead() -> None:
    assert dead_numbers(PARAMS) == []
    assert PARAMS["scale"] in PARAMS["data"]


@pytest.mark.parametrize("scale", ["sample", "real", "full"])
@pytest.mark.parametrize("stage", STAGES)
def test_every_scale_loads(stage: str, scale: str) -> None:
    loaded = parameters.load(params_of(stage), stage, scale, parameters.read(ROOT / "params.yaml"))
    assert {name for name, field in params_of(stage).model_fields.items() if not field.is_required()} == set()
    assert loaded.model_dump().keys() == params_of(stage).model_fields.keys()


def test_plots_lie_in_outputs() -> None:
    made = [Path(out) for stage in PIPELINE["stages"].values() for out in outs_of(stage)]
    shown = {text for text in leaves(PIPELINE["plots"]) if "/" in text}
    assert len(shown) >= 5
    assert [plot for plot in sorted(shown) if not any(Path(plot).is_relative_to(out) for out in made)] == []


def test_paths_stay_in_the_project() -> None:
    for text in [*leaves(PIPELINE), *leaves(PARAMS)]:
        for word in text.split():
            assert not word.startswith(("/", "~", "..", "file:")), text


def test_no_path_of_the_map_is_written_down_in_code() -> None:
    paths = {path for stage in PIPELINE["stages"].values() for path in [*stage["deps"], *outs_of(stage)]}
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = {word.strip("(),;:'\"`") for word in node.value.split()}
                assert words & paths == set(), f"{file.name}:{node.lineno}"


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_knows_its_watchers(stage: str, graph: grimp.ImportGraph) -> None:
    used = graph.find_upstream_modules(f"{PACKAGE}.stages.{stage}")
    assert len(used) > 3
    assert [module for module in used if any(f"{module}.".startswith(f"{other}.") for other in WATCHERS)] == []


def test_where_a_stage_runs_is_known_to_compute_alone() -> None:
    aware = {file for file in MODULES if re.search("STAGE_RUNNER|sagemaker", file.read_text(), re.IGNORECASE)}
    assert {file.relative_to(SOURCE).parts[0] for file in aware} == {"compute"}
    tracked = {stage: {"cmd": spec["cmd"], "params": spec["params"]} for stage, spec in PIPELINE["stages"].items()}
    assert not any(re.search("STAGE_RUNNER|sagemaker", text, re.IGNORECASE) for text in leaves(tracked))


def test_modules_are_nouns() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc", "core"}
    assert not [file for file in MODULES if {file.stem, *file.parent.relative_to(SOURCE).parts} & vague]


def test_rooms_keep_their_doors() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


def test_importing_a_stage_does_no_work(tmp_path: Path) -> None:
    code = f"""
import sys
before = set(sys.modules)
for name in {STAGES}:
    __import__(f"{PACKAGE}.stages.{{name}}")
print(sorted({{module.partition(".")[0] for module in set(sys.modules) - before}}))
"""
    home = {
        "HOME": str(tmp_path),
        "DVC_ROOT": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCE.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, "--not-an-option"],
        cwd=tmp_path,
        env=home,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ast.literal_eval(done.stdout))
    assert PACKAGE in loaded
    assert loaded & {"torch", "torchvision", "transformers", "matplotlib", "sklearn", "mlflow", "accelerate"} == set()
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@cache
def committed(path: str) -> bytes:
    return subprocess.run(["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, check=True).stdout


def committed_md5(path: str) -> str:
    """As DVC has it: of a file or of a folder."""
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", path], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    hashes = {name: dvc_hash.of_bytes(committed(name)) for name in filter(None, listed.split("\0"))}
    if {*hashes} == {path}:
        return hashes[path]
    return dvc_hash.of_folder({name.removeprefix(f"{path}/"): md5 for name, md5 in hashes.items()})


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git here: what is committed cannot be told")
def test_the_committed_lock_is_of_the_committed_code() -> None:
    """A stage whose code was changed and not run again has figures that its code does not give."""
    locked = YAML(typ="safe", pure=True).load(committed("dvc.lock"))["stages"]
    pipeline = YAML(typ="safe", pure=True).load(committed("dvc.yaml"))["stages"]
    scale = YAML(typ="safe", pure=True).load(committed("params.yaml"))["scale"]
    outs = {out["path"] for stage in locked.values() for out in stage["outs"]}
    stale = []
    for name, stage in pipeline.items():
        if " ".join(stage["cmd"].split()).replace("${scale}", scale) != locked[name]["cmd"]:
            stale.append(f"{name}: cmd")
        if {dep["path"] for dep in locked[name]["deps"]} != set(stage["deps"]):
            stale.append(f"{name}: deps")
        ours = [dep for dep in locked[name]["deps"] if dep["path"] not in outs]
        stale += [f"{name}: {dep['path']}" for dep in ours if committed_md5(dep["path"]) != dep["md5"]]
    assert stale == [], "run `dvc repro` and commit dvc.lock with the change"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git here: what is committed cannot be told")
@pytest.mark.parametrize("path", ["dvc.yaml", "src/warehouse_classifier/report", "src/warehouse_classifier/cli"])
def test_what_is_committed_has_the_hash_of_a_clone(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = subprocess.run(["git", "archive", "HEAD", path, ".dvcignore"], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=tmp_path, input=archive.stdout, check=True)
    monkeypatch.chdir(tmp_path)
    assert committed_md5(path) == dvc_hash.md5(Path(path))


@pytest.mark.parametrize("complains", ["ruff check", "ruff format", "mypy", "lint-imports", ""])
def test_no_test_is_begun_where_a_linter_complains(tmp_path: Path, complains: str) -> None:
    tool, _, act = complains.partition(" ")
    (tmp_path / "bin").mkdir()
    for name in ("ruff", "mypy", "lint-imports", "pytest"):
        fails = f'[ "${{1-}}" != "{act}" ]' if name == tool else "true"
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/begun\n{fails}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    ready = tmp_path / "ready"  # newer than all that it is made of
    ready.touch()
    os.utime(ready, (time.time() + 60,) * 2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "quick", f"VENV={os.path.relpath(tmp_path, ROOT)}"]
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (finished.returncode != 0) == bool(complains)
    assert ("pytest" in (tmp_path / "begun").read_text().split()) != bool(complains)


@pytest.mark.parametrize("name", SHARED)
def test_no_other_fixture_is_called_as_a_shared_one(name: str) -> None:
    """Tests are grouped by the names of their fixtures."""
    files = [
        file
        for file in (ROOT / "tests").rglob("*.py")
        if re.search(rf"^ *def {name}\(", file.read_text(), re.MULTILINE)
    ]
    assert files == [ROOT / "tests/conftest.py"]
