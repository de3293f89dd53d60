"""The stages whose code is here: their names, their functions, and the parameters that each function asks for."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable

from warehouse_classifier import stages
from warehouse_classifier.runtime.errors import UserError
from warehouse_classifier.runtime.params import Params

MORE = "..."


def names() -> list[str]:
    """A stage is named as its file."""
    return sorted(module.name for module in pkgutil.iter_modules(stages.__path__))


def function_of(stage: str) -> Callable[..., None]:
    """Takes the parameters, the paths of its command, `progress`, and `work` where it leaves work for the next run.

    Raises UserError for a file that cannot be loaded.
    """
    try:
        function: Callable[..., None] = getattr(importlib.import_module(f"{stages.__name__}.{stage}"), stage)
    except (SyntaxError, ImportError, AttributeError) as error:  # a file that somebody is at work on
        raise UserError(f"{stages.__path__[0]}/{stage}.py cannot be loaded ({type(error).__name__}: {error})") from None
    return function


def params_of(stage: str) -> type[Params]:
    """The class of the parameters that its function takes."""
    cls: type[Params] = inspect.signature(function_of(stage)).parameters["params"].annotation
    return cls


def is_resumable(stage: str) -> bool:
    """Whether its function leaves work for the next run."""
    return "work" in inspect.signature(function_of(stage)).parameters


def paths_of(stage: str) -> list[str]:
    """What each path of its command is called; the last may be any number of paths, at least one, and then ends with MORE."""
    names = []
    for name, parameter in inspect.signature(function_of(stage)).parameters.items():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name != "params":
            names.append(name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            names.append(name + MORE)
    return names
