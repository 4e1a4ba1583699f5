"""The faults of the matrix, by name, and how each is played."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from local.faults import AcceptThen, Action, Drop, Hang, Status, Truncate
from shared.cloud.patience import Patience
from tests.faults.playing import HASTE, HASTE_OF_HANGS

IN_TRANSACTIONS = {
    "400": "InvalidInput",
    "404": "ResourceNotFound",
    "409": "EntityAlreadyExists",
    "412": "UpdateConditionNotSatisfied",
}
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
ONE_OF_EACH_KIND = ("403", "404", "429+", "503", "lost")
"""A no, "not there", patience, trouble, and an answer that does not arrive."""


def action_of(fault: str, route: str) -> Action:
    """The fault as it is on that route.

    Storage's clients really sleep for as long as they are advised to: they are told to come at once. Where an event is
    inserted, 409 says that it is there: so it is; and what 404 says to a DELETE is true, too. What is wrong with a
    transaction is told inside a 202.
    """
    if fault == "409" and route == "table POST lanes e!":
        return AcceptThen(Status(409))
    if fault == "404" and " DELETE " in route:
        return AcceptThen(Status(404))
    if "$batch" in route and fault in IN_TRANSACTIONS:
        return _refused_transaction(int(fault), IN_TRANSACTIONS[fault])
    if fault == "429+" and route.startswith(("table ", "blob ", "queue ")):
        return Status(429, headers={"Retry-After": "0"})
    return FAULTS[fault]


def _refused_transaction(status: int, code: str) -> Action:
    """As the table service says that the first operation of a transaction cannot be done, and so none was."""
    error = json.dumps({"odata.error": {"code": code, "message": {"lang": "en-US", "value": "0:A scheduled fault."}}})
    inner = [
        "--changesetresponse_1",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "DataServiceVersion: 3.0;",
        "Content-Type: application/json;odata=minimalmetadata;charset=utf-8",
        "",
        error,
        "--changesetresponse_1--",
    ]
    outer = ["--batchresponse_1", "Content-Type: multipart/mixed; boundary=changesetresponse_1", "", *inner]
    body = "\r\n".join([*outer, "--batchresponse_1--", ""])
    return Status(202, headers={"Content-Type": "multipart/mixed; boundary=batchresponse_1"}, body=body)


def patience_of(fault: str) -> Patience:
    return HASTE_OF_HANGS if fault == "hang" else HASTE
