"""docs/adding-a-network.md, followed to the letter in a copy: a third network, from the list of networks to the report."""

import csv
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from support.networks import EVERY
from support.projects import TOP, Project

PAGE = TOP / "docs/adding-a-network.md"
HEADING = re.compile(r"## \d+\. `(.+)`")
BESIDE = re.compile(r"(After|Before) `(.+)`:")
REPLACED = re.compile(r"Everywhere `(.+)` becomes `(.+)`\.")
pytestmark = pytest.mark.skipif(
    {*EVERY} != {"resnet34", "vit"}, reason="the page is about a project of two networks, and this one has others"
)


@dataclass(frozen=True)
class Edit:
    """Of one file: a new one, a block beside a line, or words for others."""

    file: str
    how: str
    place: str
    text: str

    def apply(self, folder: Path) -> None:
        path = folder / self.file
        text = f"\n\n{self.text}" if self.text.startswith("def ") else self.text  # as everybody spaces functions
        if self.how == "new":
            assert not path.exists(), self.file
            path.write_text(self.text)
            return
        was = path.read_text()
        if self.how == "everywhere":
            assert self.place in was, self.place
            path.write_text(was.replace(self.place, self.text))
            return
        lines = was.splitlines(keepends=True)
        (at,) = [number for number, line in enumerate(lines) if line.rstrip("\n") == self.place]
        lines.insert(at + (self.how == "After"), text)
        path.write_text("".join(lines))


def edits(page: str) -> Iterator[Edit]:
    """Every edit that the page asks for, in its order."""
    file, how, place = "", "new", ""
    lines = iter(page.splitlines(keepends=True))
    for line in lines:
        if heading := HEADING.match(line):
            file, how, place = heading[1], "new", ""
        elif beside := BESIDE.match(line):
            how, place = beside[1], beside[2]
        elif replaced := REPLACED.match(line):
            yield Edit(file, "everywhere", replaced[1], replaced[2])
        elif line.startswith("```"):
            block = "".join(iter(lambda: next(lines), "```\n"))
            yield Edit(file, how, place, block)


@pytest.fixture(scope="module")
def edited(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has run with two networks, after the edits of the page."""
    project = reproduced.copy(tmp_path_factory.mktemp("third") / "project")
    for edit in edits(PAGE.read_text()):
        edit.apply(project.folder)
    project.set(train_toy={"epochs": 2, "batch": 32, "micro_batch": 32})
    return project


@pytest.fixture(scope="module")
def project(edited: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """After `dvc repro` as well."""
    project = edited.copy(tmp_path_factory.mktemp("run") / "project")
    (project.folder / "said").write_text(project.run("dvc", "repro"))
    return project


def changed(project: Project) -> set[str]:
    """What git sees."""
    return {line[3:] for line in project.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()}


def started(output: str) -> list[str]:
    """The stages whose command DVC says that it starts."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def test_the_page_lists_every_edit(edited: Project) -> None:
    assert changed(edited) == {edit.file for edit in edits(PAGE.read_text())}


def test_a_third_network_retrains_none_of_the_others(edited: Project) -> None:
    assert json.loads(edited.run("dvc", "status", "--json")).keys() == {"train_toy", "train_verifier", "evaluate"}


@pytest.mark.soak
def test_it_is_trained_and_evaluated_and_dvc_writes_the_rest(project: Project) -> None:
    assert started(project.read("said")) == ["train_toy", "train_verifier", "evaluate"]
    assert "up to date" in project.run("dvc", "status")
    assert changed(project) - {"said"} == {edit.file for edit in edits(PAGE.read_text())} | {
        "dvc.lock", "models/.gitignore"
    } | {path for path in changed(project) if path.startswith("reports/")}  # fmt: skip


@pytest.mark.soak
def test_it_is_everywhere_where_networks_are(project: Project) -> None:
    metrics = json.loads(project.read("reports/metrics.json"))
    assert {"acc", "acc_resnet34", "acc_vit", "acc_toy"} <= metrics.keys()
    details = json.loads(project.read("reports/evaluation.json"))
    assert {(test["first"], test["second"]) for test in details["mcnemar"]} == {
        ("resnet34", "vit"), ("resnet34", "toy"), ("vit", "toy")
    }  # fmt: skip
    header = project.read("reports/predictions.csv").partition("\n")[0].split(",")
    assert {"resnet34", "vit", "toy", "average", "toy_p1", "average_p5"} <= {*header}
    assert json.loads(project.read("models/calibration.json"))["counters"].keys() == {
        "resnet34",
        "vit",
        "toy",
        "average",
    }
    page = project.read("reports/report.html")
    assert "ResNet34, ViT and Toy" in page
    assert page.count("McNemar’s exact test") == 3
    for name in ("confusion_toy", "reliability_toy", "verdicts_toy"):
        assert (project.folder / f"reports/plots/{name}.svg").exists()
    assert "toy" in project.read("reports/plots/recall.csv").partition("\n")[0]
    drawn = json.loads(project.run("dvc", "plots", "show", "--json"))["data"]
    assert {"Confusion, Toy", "Verdicts of Toy", "Reliability of Toy"} <= drawn.keys()


# what people type, in one process: importing torch takes seconds
TYPED = """
from warehouse_classifier.cli.__main__ import answer
for model in ("toy", "average"):
    argv = ["check", "synthetic://?pairs=3&seed=5", "--model", model, "--format", "csv", "--output", f"{model}.csv"]
    assert answer(argv) in (0, 1)  # whatever it counts
assert answer(["report"]) == 0
"""


@pytest.mark.soak
def test_it_counts_in_check_and_stands_in_mlflow(project: Project) -> None:
    output = project.run(sys.executable, "-c", TYPED, PYTHONPATH="src")
    for model in ("toy", "average"):
        rows = list(csv.DictReader(project.read(f"{model}.csv").splitlines()))
        assert len(rows) == 3, output
        assert all(row["predicted"] in "12345" and 0 < float(row["probability"]) <= 1 for row in rows), rows
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    assert {model.name for model in client.search_registered_models()} >= {
        f"warehouse-classifier-{name}" for name in ("resnet34", "vit", "toy", "average")
    }
    assert "Toy" in output + project.read("reports/report-with-runs.html")


@pytest.mark.soak
def test_what_make_test_says_of_it_is_good(edited: Project) -> None:
    """But for the lock, which is committed when the page has been followed, and mypy, which takes a minute."""
    edited.run("ruff", "check", "src", "tests")
    edited.run("ruff", "format", "--check", "src", "tests", "docs/adding-a-network.md")
    output = edited.run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/stages/test_train_toy.py",
        "tests/test_laws.py", "tests/models/test_registry.py", "--deselect",
        "tests/test_laws.py::test_the_committed_lock_is_of_the_committed_code", PYTHONPATH="src",
    )  # fmt: skip
    assert re.search(r"\d+ passed", output), output
    assert "failed" not in output
