"""What each type of activity does: Web, Until, If, Switch, ForEach, variables, Wait and Fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from local.data_factory.definitions import Activity
from local.data_factory.scopes import ActivityRun, Scope
from local.data_factory.values import (
    ExpressionError,
    as_text,
    need_array,
    need_boolean,
    need_integer,
    need_text,
)
from local.data_factory.web import WebFailed, WebRequest

if TYPE_CHECKING:
    from local.data_factory.interpreter import Execution

_TIMESPAN = re.compile(r"(?:(?P<days>\d+)\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{2}):(?P<seconds>\d{2})")
_LONGEST_REQUEST = timedelta(minutes=10)
_ASYNC_POLL_SECONDS = 60.0


class ActivityFailed(Exception):
    """The activity failed. `output` is what it still shows to the activities after it."""

    def __init__(self, message: str, *, code: str, output: Mapping[str, Any] | None = None) -> None:
        self.code = code
        self.output = output
        super().__init__(message)


Handler = Callable[["Execution", Scope, Activity, ActivityRun], Mapping[str, Any]]


def timespan(text: str) -> timedelta:
    """d.hh:mm:ss, the days optional."""
    match = _TIMESPAN.fullmatch(text)
    if match is None:
        raise ExpressionError(f"'{text}' is not a time span; write d.hh:mm:ss.")
    return timedelta(**{unit: int(digits or 0) for unit, digits in match.groupdict().items()})


def _set_variable(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    name, value = str(activity["typeProperties"]["variableName"]), scope.property(activity, "value")
    run.input = {"variableName": name, "value": value}
    scope.variables.set(name, value)
    return {"name": name, "value": value}


def _append_variable(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    name, value = str(activity["typeProperties"]["variableName"]), scope.property(activity, "value")
    run.input = {"variableName": name, "value": value}
    scope.variables.append(name, value)
    return {"name": name, "value": value}


def _wait(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    seconds = need_integer(scope.property(activity, "waitTimeInSeconds"), "waitTimeInSeconds")
    run.input = {"waitTimeInSeconds": seconds}
    execution.wait(seconds, scope)
    return {}


def _fail(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    """The service's own messages where the author's cannot be used are Microsoft's documented edge cases."""
    message, code = scope.property(activity, "message"), scope.property(activity, "errorCode")
    run.input = {"message": message, "errorCode": code}
    if not isinstance(code, str) or not code.strip():
        code = "ErrorCodeNotString"
    if not isinstance(message, str):
        raise ActivityFailed(f"{run.name} fail message parameter couldn't be interpreted as a string", code=code)
    if not message.strip():
        raise ActivityFailed(f"Failed to interpret {run.name} fail message or error code", code=code)
    raise ActivityFailed(message, code=code)


def _web(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    request = WebRequest(
        method=need_text(scope.property(activity, "method"), "method").upper(),
        url=need_text(scope.property(activity, "url"), "url"),
        headers={name: as_text(value) for name, value in scope.property(activity, "headers", {}).items()},
        body=scope.property(activity, "body"),
        resource=_token_resource(scope.property(activity, "authentication")),
        seconds=_request_seconds(scope, activity),
    )
    run.input = {"method": request.method, "url": request.url, "headers": request.headers, "body": request.body}
    follow = not scope.property(activity, "turnOffAsync", False)
    try:
        return _exchange(execution, scope, request, follow=follow)
    except WebFailed as failure:
        raise ActivityFailed(str(failure), code="2108", output=failure.output) from failure


def _exchange(execution: Execution, scope: Scope, request: WebRequest, *, follow: bool) -> Mapping[str, Any]:
    """One call; after a 202 with a Location the polling that turnOffAsync switches off."""
    web = execution.surroundings.web
    status, headers, output = web.send(request)
    while follow and status == 202 and "location" in headers:
        execution.wait(float(headers.get("retry-after", _ASYNC_POLL_SECONDS)), scope)
        poll = WebRequest(
            method="GET",
            url=headers["location"],
            headers={},
            resource=request.resource,
            seconds=request.seconds,
        )
        status, headers, output = web.send(poll)
    return output


def _token_resource(authentication: object) -> str | None:
    match authentication:
        case None:
            return None
        case {"type": "MSI", "resource": str() as resource}:
            return resource
        case {"type": type_}:
            raise ActivityFailed(f"Web authentication of type '{type_}' is not imitated here.", code="NotImitated")
    raise ActivityFailed("The authentication of this Web activity has no type.", code="InvalidAuthentication")


def _request_seconds(scope: Scope, activity: Activity) -> float:
    limits = [timespan(scope.property(activity, "httpRequestTimeout", "00:01:00")), _LONGEST_REQUEST]
    if "timeout" in activity.get("policy", {}):
        limits.append(timespan(scope.resolve(activity["policy"]["timeout"])))
    return min(limits).total_seconds()


def _until(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    """Runs its list, then looks at the condition, until it holds or the time is up.

    Documented: a failing inner activity does not end the loop. From memory: a condition that cannot be evaluated
    fails the loop, and so does a last round that failed.
    """
    limit = timespan(scope.property(activity, "timeout", "7.00:00:00"))
    deadline = execution.surroundings.now() + limit
    while True:
        inner = scope.child(deadline=deadline)
        failed = execution.run_all(activity["typeProperties"]["activities"], inner)
        if need_boolean(inner.property(activity, "expression"), "Until"):
            return _ended(failed)
        if execution.surroundings.now() >= deadline:
            raise ActivityFailed(f"'{run.name}' was not done within {limit}.", code="ActivityTimeout")
        execution.check_cancelled()


def _if(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    holds = need_boolean(scope.property(activity, "expression"), "IfCondition")
    run.input = {"expression": holds}
    branch = activity["typeProperties"].get("ifTrueActivities" if holds else "ifFalseActivities") or []
    return _ended(execution.run_all(branch, scope.child()))


def _switch(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    on = need_text(scope.property(activity, "on"), "Switch")
    run.input = {"on": on}
    properties = activity["typeProperties"]
    default = properties.get("defaultActivities") or []
    cases = {case["value"]: case.get("activities", []) for case in properties.get("cases", [])}
    return _ended(execution.run_all(cases.get(on, default), scope.child()))


def _for_each(execution: Execution, scope: Scope, activity: Activity, run: ActivityRun) -> Mapping[str, Any]:
    """Every item has its round, whatever became of the others. The batch size is 20 unless set, at most 50."""
    items = need_array(scope.property(activity, "items"), "ForEach")
    run.input = {"itemsCount": len(items)}
    at_once = 1 if scope.property(activity, "isSequential", False) else scope.property(activity, "batchCount", 20)
    inner = activity["typeProperties"]["activities"]
    with ThreadPoolExecutor(max_workers=min(at_once, 50)) as pool:
        rounds = list(pool.map(lambda item: execution.run_all(inner, scope.child(item=item)), items))
    return _ended([failure for failed in rounds for failure in failed])


def _ended(failed: list[ActivityRun]) -> Mapping[str, Any]:
    if failed:
        first = failed[0]
        details = f"Inner activity name: {first.name}, Error: {first.message}"
        raise ActivityFailed(f"Activity failed because an inner activity failed; {details}", code="ActionFailed")
    return {}


HANDLERS: Mapping[str, Handler] = {
    "WebActivity": _web,
    "Until": _until,
    "IfCondition": _if,
    "Switch": _switch,
    "ForEach": _for_each,
    "SetVariable": _set_variable,
    "AppendVariable": _append_variable,
    "Wait": _wait,
    "Fail": _fail,
}
