"""What MLflow keeps of the runs that made what dvc.lock knows."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from warehouse_classifier.compute.stage_spec import StageSpec
from warehouse_classifier.tracking import history

COLUMNS = ("stage", "commit", "begun", "took", "place", "cost", "speed", "memory", "run")


@dataclass(frozen=True)
class Record:
    """One run of a stage."""

    id: str
    begun: float  # seconds since 1970
    seconds: float
    tags: dict[str, str]
    figures: dict[str, float]  # the last of each name


def of(spec: StageSpec) -> Record | None:
    """The newest finished run with the same inputs and parameters, if there is one. Raises UserError if there is no store."""
    for run in history.runs(spec.stage, spec.digest):
        if all(_same(run.data.params.get(name), value) for name, value in _short_names(spec.params)):
            took = ((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000
            return Record(
                run.info.run_id, run.info.start_time / 1000, run.data.metrics.get("seconds", took), run.data.tags,
                run.data.metrics,
            )  # fmt: skip
    return None


def row(stage: str, record: Record | None) -> dict[str, str]:
    """A stage's run for people, by COLUMNS; what nobody knows is empty."""
    if record is None:
        missing = {"place": "MLflow has no run of it with these inputs and parameters"}
        return {**dict.fromkeys(COLUMNS, ""), "stage": stage, **missing}
    tags, figures = record.tags, record.figures
    changed = " and changes" if tags.get("git_changed") == "true" else ""
    machine = [
        tags.get("instance") or tags.get("host"),
        tags.get("machine"),
        f"{tags.get('processors', '?')} processors",
    ]
    return {
        "stage": stage,
        "commit": tags.get("git_commit", "")[:10] + changed,
        "begun": datetime.fromtimestamp(record.begun, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "took": str(timedelta(seconds=round(record.seconds))),
        "place": f"{tags.get('runner', '')}: {', '.join(filter(None, machine))}",
        "cost": f"about ${figures['dollars']:.2f}" if "dollars" in figures else "",
        "speed": f"{figures['images_per_second']:,.0f} images/s" if "images_per_second" in figures else "",
        "memory": f"{figures['memory_mib']:,.0f} MiB" if "memory_mib" in figures else "",
        "run": record.id[:8],
    }


def _short_names(params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The tracked parameters by the short names that a run has them under."""
    for dotted, value in params.items():
        yield from value.items() if isinstance(value, dict) else [(dotted.rpartition(".")[2], value)]


def _same(text: str | None, value: Any) -> bool:
    """Whether a run's parameter, which is a text, is this value; mappings may be in another order."""
    if text is None or text == str(value):
        return text is not None
    try:
        return bool(ast.literal_eval(text) == value)
    except (ValueError, SyntaxError):
        return False
