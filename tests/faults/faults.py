"""The faults of the matrix, by name, and how each is played."""

from __future__ import annotations

from collections.abc import Mapping

from local.faults import AcceptThen, Action, Drop, Hang, Status, Truncate
from shared.cloud.patience import Patience
from tests.faults.playing import HASTE, HASTE_OF_HANGS

ADVISED = 7
"""Seconds that a target asks to be left alone for."""
STATUSES = {f"{code}": Status(code) for code in (400, 401, 403, 404, 409, 412, 429, 500, 502, 503, 504)}
FAULTS: Mapping[str, Action] = {
    **STATUSES,
    "429+": Status(429, headers={"Retry-After": str(ADVISED)}),
    "reset": Drop(),
    "hang": Hang(20),
    "truncated": AcceptThen(Truncate()),
    "lost": AcceptThen(Drop()),
}
"""429+ is one with Retry-After. What is truncated or lost is an answer: the work is done."""


def action_of(fault: str, route: str) -> Action:
    """The fault as it is on that route.

    Storage's clients really sleep for as long as they are advised to: they are told to come at once. And where a row is
    made, 409 says that it is there: so it is.
    """
    if fault == "409" and route == "table POST lanes e!":
        return AcceptThen(Status(409))
    if fault == "429+" and route.startswith(("table ", "blob ", "queue ")):
        return Status(429, headers={"Retry-After": "0"})
    return FAULTS[fault]


def patience_of(fault: str) -> Patience:
    return HASTE_OF_HANGS if fault == "hang" else HASTE
