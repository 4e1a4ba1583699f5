"""Who calls the API, and what they may do: roles of Microsoft Entra, as App Service Authentication hands them on."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PRINCIPAL_HEADER: Final = "x-ms-client-principal"


class Role(StrEnum):
    """An app role of the API's registration (infra/app-roles.json). Each includes those before it."""

    READER = "Relearn.Reader"
    OPERATOR = "Relearn.Operator"
    APPROVER = "Relearn.Approver"

    @property
    def included(self) -> frozenset[Role]:
        roles = tuple(Role)
        return frozenset(roles[: roles.index(self) + 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller whom the platform has authenticated.

    Attributes:
        who: as histories name them: a person's sign-in name, or `app <client id>` for a program.
    """

    who: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        return any(role in own.included for own in self.roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """Why a call is not answered: 401 for nobody in particular, 403 for somebody who may not."""

    status: int
    error: str
    todo: str


_AUTHENTICATED_BY: Final = "aad"
_ROLE_CLAIMS: Final = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")
# App Service maps some names of claims to the long ones of old. A display name comes last: its owner may choose it.
_NAME_CLAIMS: Final = (
    "preferred_username",
    "upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "unique_name",
    "email",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "name",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
)
_APP_CLAIMS: Final = ("azp", "appid")
_OBJECT_CLAIMS: Final = ("oid", "http://schemas.microsoft.com/identity/claims/objectidentifier")
_LONGEST_NAME: Final = 200


def admitted(headers: Mapping[str, str], needed: Role, *, platform_authenticates: bool) -> Principal | Denied:
    """The caller, if it may do what takes the role `needed`.

    The header that says who calls is believed only where App Service Authentication is on: it then takes away whatever
    a client has sent under this name. Without it anybody could write one.

    Args:
        headers: by their names in small letters.
        platform_authenticates: whether App Service Authentication is on.
    """
    if not platform_authenticates:
        return Denied(
            status=401,
            error="App Service Authentication is off, so nobody can be told apart",
            todo="deploy with the client id of an app registration: docs/operations.md, 'Who may call the API'",
        )
    principal = principal_of(headers.get(PRINCIPAL_HEADER, ""))
    if principal is None:
        return Denied(
            status=401,
            error="this call carries no valid token of Microsoft Entra for this API",
            todo="send `Authorization: Bearer …`; `python -m relearn` does, and docs/operations.md says how by hand",
        )
    if not principal.may(needed):
        has = ", ".join(sorted(principal.roles)) or "no role"
        return Denied(
            status=403,
            error=f"this takes the role {needed}; {principal.who} has {has}",
            todo="have the role assigned in the API's enterprise application, then get a new token",
        )
    return principal


def principal_of(header: str) -> Principal | None:
    """Whom App Service's header names; None for anything that is not its JSON about a caller of Microsoft Entra."""
    try:
        told = json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("auth_typ") != _AUTHENTICATED_BY:
        return None
    claims = list(_claims(told.get("claims")))
    who = _who(claims, str(told.get("name_typ") or ""))
    if who is None:
        return None
    named = {value for kind, value in claims if kind in _ROLE_CLAIMS or kind == told.get("role_typ")}
    return Principal(who=who, roles=frozenset(role for role in Role if role in named))


def _claims(told: object) -> Iterable[tuple[str, str]]:
    for claim in told if isinstance(told, list) else ():
        kind, value = (claim.get("typ"), claim.get("val")) if isinstance(claim, dict) else (None, None)
        if isinstance(kind, str) and isinstance(value, str) and value.strip():
            yield kind, value


def _who(claims: Iterable[tuple[str, str]], name_type: str) -> str | None:
    first: dict[str, str] = {}
    for kind, value in claims:
        first.setdefault(kind, value)
    for kind in (*_NAME_CLAIMS, name_type):
        if kind in first:
            return _printable(first[kind])
    found = next((first[kind] for kind in (*_APP_CLAIMS, *_OBJECT_CLAIMS) if kind in first), None)
    return f"app {_printable(found)}" if found is not None else None


def _printable(text: str) -> str:
    """On one line of a history, and no longer than one."""
    return "".join(sign if sign.isprintable() else "?" for sign in text.strip())[:_LONGEST_NAME]
