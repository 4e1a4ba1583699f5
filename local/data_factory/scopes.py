"""What an expression can see at one place of a run: activities of its own and the outer lists, variables, the item."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.data_factory import expressions, timestamps
from local.data_factory.definitions import Activity
from local.data_factory.functions import named
from local.data_factory.values import ExpressionError, kind, need_text

_NO_ITEM = object()


@dataclass(slots=True, kw_only=True)
class ActivityRun:
    """One attempt at one activity, as queryActivityruns shows it."""

    name: str
    type: str
    status: str = "InProgress"
    start: datetime
    end: datetime | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    attempt: int = 0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def message(self) -> str:
        return str((self.error or {}).get("message", ""))


class Variables:
    """A run's variables, with the types they were declared with. Activities in parallel may set them."""

    _TYPES: Mapping[str, type] = {"string": str, "boolean": bool, "bool": bool, "array": list, "integer": int}

    def __init__(self, declared: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()
        self._declared = declared
        self._values: dict[str, object] = {name: entry.get("defaultValue") for name, entry in declared.items()}

    def get(self, name: object) -> object:
        with self._lock:
            if need_text(name, "variables") not in self._values:
                available = ", ".join(self._values)
                raise ExpressionError(f"the variable '{name}' is not declared, available ones are '{available}'.")
            return self._values[str(name)]

    def set(self, name: str, value: object) -> None:
        type_ = str(self._declared[name]["type"])
        wanted = self._TYPES.get(type_.lower(), str)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise ExpressionError(
                f"The variable '{name}' of type '{type_}' cannot be initialized or updated with value of type "
                f"'{kind(value)}'. The variable '{name}' only supports values of types '{type_}'."
            )
        with self._lock:
            self._values[name] = value

    def append(self, name: str, value: object) -> None:
        with self._lock:
            items = self._values[name]
            if not isinstance(items, list | None):
                raise ExpressionError(f"The variable '{name}' is not an array; nothing can be appended to it.")
            self._values[name] = [*(items or []), value]


class Scope:
    """One list of activities while it runs. Containers open one for each round they run their own list."""

    def __init__(
        self,
        *,
        system: Mapping[str, Any],
        variables: Variables,
        now: Callable[[], datetime],
        parent: Scope | None = None,
        item: object = _NO_ITEM,
        deadline: datetime | None = None,
    ) -> None:
        self.variables = variables
        self.deadline = deadline
        self.runs: dict[str, ActivityRun] = {}
        self._system = system
        self._now = now
        self._parent = parent
        self._item = item
        self._functions = named(
            [
                ("activity", 1, 1, self._activity),
                ("pipeline", 0, 0, lambda: self._system),
                ("variables", 1, 1, variables.get),
                ("item", 0, 0, self._current_item),
                ("utcNow", 0, 1, lambda pattern="o": timestamps.write(now(), need_text(pattern, "utcNow"))),
            ]
        )

    def child(self, *, item: object = _NO_ITEM, deadline: datetime | None = None) -> Scope:
        limits = [limit for limit in (self.deadline, deadline) if limit is not None]
        return Scope(
            system=self._system,
            variables=self.variables,
            now=self._now,
            parent=self,
            item=self._item if item is _NO_ITEM else item,
            deadline=min(limits, default=None),
        )

    def resolve(self, value: object) -> Any:  # noqa: ANN401  # whatever JSON the expression gives
        return expressions.resolve(value, self._functions)

    def property(self, activity: Activity, name: str, default: object = None) -> Any:  # noqa: ANN401  # JSON
        """A resolved type property."""
        return self.resolve(activity.get("typeProperties", {}).get(name, default))

    def _activity(self, name: object) -> dict[str, Any]:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.runs:
                return _seen(scope.runs[str(name)])
            scope = scope._parent
        raise ExpressionError(f"the activity '{name}' has not run before this one, or there is none.")

    def _current_item(self) -> object:
        if self._item is _NO_ITEM:
            raise ExpressionError("'item' has a value only inside a ForEach.")
        return self._item


def _seen(run: ActivityRun) -> dict[str, Any]:
    """What activity('name') gives. What does not exist is left out, so that reaching for it is an error."""
    seen: dict[str, Any] = {"ActivityName": run.name, "ActivityRunId": run.id, "Status": run.status}
    if run.output is not None:
        seen["output"] = run.output
    if run.error is not None:
        seen["error"] = run.error
    return seen
