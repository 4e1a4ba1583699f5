"""What the host prints when it is up: the functions it found and where they answer, as Core Tools does."""

from __future__ import annotations

from collections.abc import Sequence

from local.host import webhook
from local.host.app import Function
from local.host.http import Route


def announcement(functions: Sequence[Function], routes: Sequence[Route], address: str) -> str:
    """The list of functions: HTTP ones with methods and address, the others with their trigger."""
    enabled = [function for function in functions if not function.disabled]
    lines = ["", "Functions:" if enabled else "No functions found.", ""]
    for route in routes:
        methods = f"[{','.join(sorted(route.methods))}] " if route.methods else ""
        lines += [f"        {route.function.name}: {methods}{address}/{route.template}", ""]
    for function in enabled:
        if function.trigger != "httpTrigger":
            lines += [f"        {function.name}: {function.trigger}", ""]
        if function.trigger == "eventGridTrigger":
            lines.insert(-1, f"            {address}{webhook.PATH}?functionName={function.name}")
    lines += [f"Function {function.name} is disabled." for function in functions if function.disabled]
    return "\n".join(lines)
