"""docs/adding-a-network.md, followed to the letter in a copy: a third network, from the list of networks to the report."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from support.projects import TOP, Project

PAGE = TOP / "docs/adding-a-network.md"
HEADING = re.compile(r"## \d+\. `(.+)`")
BESIDE = re.compile(r"(After|Before) `(.+)`:")
REPLACED = re.compile(r"Everywhere `(.+)` becomes `(.+)`\.")
LAWS = "deps or params_are or six_places or dead or orphan or rooms or load or plots or paths or path_of"


@dataclass(frozen=True)
class Edit:
    """Of one file: a new one, a block beside a line, or words for others."""

    file: str
    how: str
    place: str
    text: str

    def apply(self, folder: Path) -> None:
        path = folder / self.file
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
        lines.insert(at + (self.how == "After"), self.text)
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
def project(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has run with two networks, after the edits of the page and `dvc repro`."""
    project = reproduced.copy(tmp_path_factory.mktemp("third") / "project")
    for edit in edits(PAGE.read_text()):
        edit.apply(project.folder)
    project.set(train_toy={"epochs": 2, "batch": 32, "micro_batch": 32})
    (project.folder / "said").write_text(project.run("dvc", "repro"))
    return project


def test_the_page_lists_every_edit(project: Project) -> None:
    """What git sees is what the page names, and what DVC itself writes."""
    changed = {line[3:] for line in project.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()}
    named = {edit.file for edit in edits(PAGE.read_text())}
    assert changed - {"said"} == named | {"dvc.lock", "models/.gitignore"} | {
        path for path in changed if path.startswith("reports/")
    }


def test_a_third_network_retrains_none_of_the_others(project: Project) -> None:
    said = project.read("said")
    assert [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")] == [
        "train_toy", "evaluate"
    ]  # fmt: skip
    assert "up to date" in project.run("dvc", "status")


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


def test_it_counts_in_check_and_stands_in_mlflow(project: Project) -> None:
    photos = project.folder / "photos"
    photos.mkdir()
    (photos / "1.jpg").write_bytes((TOP / "reports/bin.png").read_bytes())
    for model in ("toy", "average"):
        said = project.run(
            sys.executable, "-m", "warehouse_classifier.cli", "check", "photos", "--model", model, "--format", "csv",
            PYTHONPATH="src",
        )  # fmt: skip
        assert "1.jpg" in said
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    assert {model.name for model in client.search_registered_models()} >= {
        f"warehouse-classifier-{name}" for name in ("resnet34", "vit", "toy", "average")
    }
    assert "Toy" in project.run(sys.executable, "-m", "warehouse_classifier.cli", "report", PYTHONPATH="src") + (
        project.read("reports/report-with-runs.html")
    )


def test_the_laws_hold_for_it(project: Project) -> None:
    said = project.run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/stages/test_train_toy.py",
        "tests/test_laws.py", "-k", f"learns or {LAWS}", PYTHONPATH="src",
    )  # fmt: skip
    assert re.search(r"\d+ passed", said), said
