"""Loads `function_app.py` and indexes its functions the way Azure's Python worker does."""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from azure.functions import FunctionRegister
from azure.functions.decorators.core import Trigger
from azure.functions.decorators.function_app import Function as IndexedFunction

from local.host import bindings
from local.host.settings import AppSettings

SCRIPT_FILE: Final = "function_app.py"
PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]


class IndexingFailed(Exception):
    """The worker found no functions, and why. One bad function is enough: the app then has none at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of the app, with its one trigger."""

    name: str
    call: Callable[..., Any]
    trigger: str
    """The binding type: httpTrigger, eventGridTrigger, queueTrigger, timerTrigger."""
    parameter: str
    annotation: type | None
    options: Mapping[str, Any]
    """What the decorator was given, with the names of function.json."""
    returns: bool
    wants_context: bool
    directory: str
    disabled: bool

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.call)


def place_on_path(app_root: Path) -> None:
    """Puts the app root last on sys.path, where the worker puts it, and takes this project's root away.

    A module that only resolves because the host was started in the right folder would be missing in Azure.
    """
    ours = {"", str(PROJECT_ROOT), str(Path.cwd()), str(app_root)}
    sys.path[:] = [entry for entry in sys.path if entry not in ours]
    sys.path.append(str(app_root))


def load_functions(app_root: Path, environment: Mapping[str, str]) -> Sequence[Function]:
    """Imports the app and indexes it; the app root must be on sys.path.

    Raises:
        IndexingFailed: anything the worker would report as "Worker failed to index functions".
    """
    settings = AppSettings(environment)
    script = app_root / settings.get("PYTHON_SCRIPT_FILE_NAME", SCRIPT_FILE)
    if not script.is_file():
        raise IndexingFailed(f"{script} does not exist")
    try:
        module = importlib.import_module(script.stem)
        return [_index(function, settings) for function in _only_app(module).get_functions()]
    except IndexingFailed:
        raise
    except Exception as problem:  # an app may raise anything at import; the host outlives it
        raise IndexingFailed(f"{type(problem).__name__}: {problem}") from problem


def _only_app(module: ModuleType) -> FunctionRegister:
    # The worker counts names, not objects: `app` and an alias of it are two.
    found = [value for value in vars(module).values() if isinstance(value, FunctionRegister)]
    if len(found) > 1:
        kind = type(found[0]).__name__
        raise IndexingFailed(f"More than one {kind} or other top level function app instances are defined.")
    if not found:
        raise IndexingFailed(f"Could not find top level function app instances in {module.__name__}.py.")
    return found[0]


def _index(function: IndexedFunction, settings: AppSettings) -> Function:
    name = function.get_function_name()
    trigger = function.get_trigger()
    if name is None or trigger is None:
        raise IndexingFailed(f"{function} has no name or no trigger")
    call = function.get_user_function()
    _refuse_other_bindings(name, function, trigger)
    annotations = typing.get_type_hints(call)
    parameters = set(inspect.signature(call).parameters)
    wants_context = "context" in parameters and trigger.name != "context"
    _check_parameters(name, parameters - ({"context"} if wants_context else set()), trigger.name)
    if wants_context:
        _check_context(name, annotations.get("context"))
    annotation = annotations.get(trigger.name)
    bindings.check_annotation(name, trigger, annotation)
    return Function(
        name=name,
        call=call,
        trigger=str(trigger.type),
        parameter=trigger.name,
        annotation=annotation,
        options=trigger.get_dict_repr(),
        returns=any(binding.name == "$return" for binding in function.get_bindings()),
        wants_context=wants_context,
        directory=str(Path(inspect.getfile(call)).parent),
        disabled=_is_disabled(name, settings),
    )


def _refuse_other_bindings(name: str, function: IndexedFunction, trigger: Trigger) -> None:
    """A stand-in must fail loudly where it does less than the original."""
    if trigger.type not in bindings.TRIGGERS:
        known = ", ".join(bindings.TRIGGERS)
        raise IndexingFailed(f"{name}: a {trigger.type} is not imitated here (only {known}); use HOST=func")
    for binding in function.get_bindings():
        if binding is not trigger and binding.type != "http":
            raise IndexingFailed(f"{name}: the binding {binding.type} is not imitated here; use HOST=func")


def _check_parameters(name: str, parameters: set[str], bound: str) -> None:
    unknown = parameters - {bound}
    if unknown:
        raise IndexingFailed(
            f"cannot load the {name} function: the following parameters are declared in Python but not in the "
            f"function definition (function.json or function decorators): {unknown!r}"
        )
    if bound not in parameters:
        raise IndexingFailed(
            f"cannot load the {name} function: the binding {bound!r} is declared but not present in Python"
        )


def _check_context(name: str, annotation: object) -> None:
    if annotation is not None and getattr(annotation, "__name__", "") != "Context":
        raise IndexingFailed(
            f'cannot load the {name} function: the "context" parameter is expected to be of type '
            f"azure.functions.Context, got {annotation!r}"
        )


def _is_disabled(name: str, settings: AppSettings) -> bool:
    # Linux does not take dots in names of settings everywhere, so the host knows both spellings.
    spellings = (f"AzureWebJobs.{name}.Disabled", f"AzureWebJobs_{name}_Disabled")
    return any(settings.get(spelling, "").lower() in ("1", "true") for spelling in spellings)
