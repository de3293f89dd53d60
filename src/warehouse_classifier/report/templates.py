"""The templates of the page, filled: all text is escaped but what `trusted` says is ours."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from warehouse_classifier.report.formatting import between, number, percent, points, share


def trusted(text: str) -> Markup:
    """Not escaped in a template."""
    return Markup(text)  # noqa: S704 -- drawn or written by ourselves


def render(template: Path, **values: Any) -> str:
    """The template, which may include others of its folder, filled. Raises UndefinedError for a value that it lacks."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "between": between, "number": number, "points": points, "share": share}
    return environment.get_template(template.name).render(**values)
