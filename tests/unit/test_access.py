"""Who may call the API: what the platform's header may say, and every route with every role."""

from __future__ import annotations

import base64
import json
from typing import Any

import azure.functions as func
import pytest

from shared import wiring
from shared.access import Denied, Principal, Role, admitted, principal_of
from tests.callers import APPROVER, OPERATOR, READER, ROLE_TYPE, encoded, http_functions, principal

HEADER = "x-ms-client-principal"
READ_ONLY = {
    *("list_reactions", "show_reaction", "show_model", "explain_file", "explain_event"),
    *("show_controls", "list_acts", "list_dead_letters", "show_dead_letter"),
}


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def of(**told: Any) -> str:
    return encoded({"auth_typ": "aad", "claims": [], "name_typ": "", "role_typ": ROLE_TYPE, **told})


def claim(kind: str, value: object) -> dict[str, object]:
    return {"typ": kind, "val": value}


def test_each_role_includes_those_before_it() -> None:
    may = {own: [needed for needed in Role if Principal(who="x", roles=frozenset({own})).may(needed)] for own in Role}
    assert may == {
        Role.READER: [Role.READER],
        Role.OPERATOR: [Role.READER, Role.OPERATOR],
        Role.APPROVER: [Role.READER, Role.OPERATOR, Role.APPROVER],
    }
    assert not Principal(who="x", roles=frozenset()).may(Role.READER)


@pytest.mark.parametrize("kind", ["roles", ROLE_TYPE])
def test_a_role_is_told_by_either_name_of_its_claim(kind: str) -> None:
    found = principal_of(of(claims=[claim("appid", "a1"), claim(kind, READER), claim(kind, "Somebody.Elses")]))
    assert found == Principal(who="app a1", roles=frozenset({Role.READER}))


@pytest.mark.parametrize("role_type", [ROLE_TYPE, None, [], {"a": 1}, 7])
def test_a_claim_of_another_kind_gives_no_role(role_type: object) -> None:
    claims = [claim("appid", "a1"), claim("groups", OPERATOR), claim("scp", APPROVER)]
    assert principal_of(of(claims=claims, role_typ=role_type)) == Principal(who="app a1", roles=frozenset())


@pytest.mark.parametrize(
    ("claims", "who"),
    [
        ({"preferred_username": "ada@example.com", "name": "The Boss", "azp": "cli"}, "ada@example.com"),
        ({"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "ada@example.com"}, "ada@example.com"),
        ({"name": "Ada", "appid": "cli"}, "Ada"),
        ({"appid": "11", "http://schemas.microsoft.com/identity/claims/objectidentifier": "22"}, "app 11"),
        ({"azp": "11"}, "app 11"),
        ({"oid": "22"}, "app 22"),
        ({"preferred_username": "ada\r\nforged: line"}, "ada??forged: line"),
    ],
)
def test_a_caller_is_named_by_what_it_cannot_choose_first(claims: dict[str, str], who: str) -> None:
    found = principal_of(of(claims=[claim(kind, value) for kind, value in claims.items()]))
    assert found is not None
    assert found.who == who


@pytest.mark.parametrize(
    "header",
    [
        "",
        "%%%",
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 5000).decode(),
        encoded(["aad"]),
        encoded("aad"),
        of(),
        of(claims=None),
        of(claims=["roles", None, 3]),
        of(claims=[claim("roles", OPERATOR)]),
        of(claims=[claim("name", 7), claim("name", ["x"]), claim("name", "  ")]),
        of(auth_typ="github", claims=[claim("name", "ada"), claim("roles", OPERATOR)]),
        json.dumps({"auth_typ": "aad", "claims": [claim("name", "ada"), claim("roles", OPERATOR)]}),
    ],
)
def test_anything_else_is_nobody(header: str) -> None:
    assert principal_of(header) is None
    denied = admitted({HEADER: header}, Role.READER, platform_authenticates=True)
    assert isinstance(denied, Denied)
    assert denied.status == 401


def test_a_forged_header_is_not_believed_where_the_platform_does_not_authenticate() -> None:
    denied = admitted(lower(principal(APPROVER)), Role.READER, platform_authenticates=False)
    assert isinstance(denied, Denied)
    assert (denied.status, "App Service Authentication is off" in denied.error) == (401, True)


def test_who_lacks_the_role_is_told_which_and_what_it_has() -> None:
    denied = admitted(lower(principal(READER)), Role.OPERATOR, platform_authenticates=True)
    assert isinstance(denied, Denied)
    assert denied.status == 403
    assert denied.error == "this takes the role Relearn.Operator; ada@example.com has Relearn.Reader"
    assert "ada@example.com has no role" in str(admitted(lower(principal()), Role.READER, platform_authenticates=True))


# --- every route ------------------------------------------------------------------------------------------------------


class Reached(Exception):
    """The call was let through to the app."""


class Trap:
    """An app that does nothing but tell that it was reached."""

    def __init__(self, *, platform_authenticates: bool = True) -> None:
        self.platform_authenticates = platform_authenticates

    def __getattr__(self, name: str) -> object:
        raise Reached(name)


def status(handler: Any, headers: dict[str, str], *, believed: bool = True) -> int:
    """What a call gets: 200 stands for whatever comes after the door."""
    request = func.HttpRequest(
        method="POST", url="/api/x", params={"path": "lake/x"}, route_params={"id": "x"}, body=b"{}", headers=headers
    )
    wiring.use(Trap(platform_authenticates=believed))  # type: ignore[arg-type]
    try:
        answer = handler(request)
    except Reached:
        return 200
    finally:
        wiring.use(None)
    return 200 if answer.status_code == 400 else int(answer.status_code)


ROUTES = [pytest.param(each.name, each.call, id=f"{each.method} {each.route}") for each in http_functions()]
GUARDED = [each for each in ROUTES if each.values[0] != "health"]


def test_health_is_the_only_route_without_a_role() -> None:
    open_to_all = [each.values[0] for each in ROUTES if status(each.values[1], {}) == 200]
    assert open_to_all == ["health"]


@pytest.mark.parametrize(("name", "handler"), GUARDED)
def test_every_route_asks_for_its_role(name: str, handler: Any) -> None:
    reads = name in READ_ONLY
    expected = {None: 401, "": 403, READER: 200 if reads else 403, OPERATOR: 200, APPROVER: 200}
    found = {role: status(handler, {} if role is None else principal(*filter(None, [role]))) for role in expected}
    assert found == expected


@pytest.mark.parametrize(("name", "handler"), GUARDED)
def test_no_route_believes_a_forged_header(name: str, handler: Any) -> None:
    assert status(handler, principal(APPROVER), believed=False) == 401


def test_no_route_takes_a_function_key() -> None:
    assert {each.level.lower() for each in http_functions()} == {"anonymous"}
