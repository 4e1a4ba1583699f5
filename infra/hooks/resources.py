"""What the hooks ask Azure: lists and single resources, over `az rest`."""

from __future__ import annotations

from typing import Any, Final

from infra.hooks.tools import CommandFailed, az

ARM: Final = "https://management.azure.com"


def get(path: str, api_version: str) -> Any | None:  # noqa: ANN401 - JSON
    """A resource, or None where there is none."""
    try:
        return az("rest", "--method", "get", "--url", f"{ARM}{path}?api-version={api_version}")
    except CommandFailed as error:
        if missing(error):
            return None
        raise


def missing(error: CommandFailed) -> bool:
    """Whether a command failed for what it was about not being there."""
    return any(word in error.output for word in ("NotFound", "Not Found", "could not be found"))


def listing(path: str, api_version: str) -> list[Any]:
    """Every page of a list; empty where what would hold it is not there."""
    found: list[Any] = []
    page = get(path, api_version)
    while page is not None:
        found += page.get("value") or []
        following = page.get("nextLink")
        page = az("rest", "--method", "get", "--url", following) if following else None
    return found


def group_name(environment: str) -> str:
    """As main.bicep names it."""
    return f"rg-relearn-{environment}"
