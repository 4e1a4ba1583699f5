"""App Service Authentication, as far as the app sees it: a checked token becomes the header that says who calls.

Requests without a valid token go on as nobody's (`AllowAnonymous`): the app's own check answers them. Whatever a client
sends under the platform's names is taken away.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt

from local.identity import ISSUER

logger = logging.getLogger(__name__)

ENABLED: Final = "WEBSITE_AUTH_ENABLED"
"""The platform sets it for the app, and nobody else can."""
PRINCIPAL: Final = "x-ms-client-principal"
_OURS: Final = (PRINCIPAL, "x-ms-token-")
_NAME: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
_ROLE: Final = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
_LONG_NAMES: Final = {
    "oid": "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "tid": "http://schemas.microsoft.com/identity/claims/tenantid",
    "upn": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """What authsettingsV2 says in Azure: where the issuer's keys are, and for whom tokens must be."""

    keys: str
    audience: str


class TokenCheck:
    """Checks bearer tokens: signature, audience, issuer and times."""

    def __init__(self, settings: Authentication) -> None:
        self._settings = settings
        self._keys: dict[str, jwt.PyJWK] = {}

    async def headers(self, sent: Mapping[str, str]) -> dict[str, str]:
        """The headers for the app: what was sent, without what only the platform may say, and who calls."""
        kept = {name: value for name, value in sent.items() if not name.lower().startswith(_OURS)}
        authorization = next((value for name, value in sent.items() if name.lower() == "authorization"), "")
        claims = await self._claims(authorization)
        return kept if claims is None else {**kept, **_injected(claims)}

    async def _claims(self, authorization: str) -> Mapping[str, Any] | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            return jwt.decode(
                token.strip(),
                await self._key(str(jwt.get_unverified_header(token.strip()).get("kid"))),
                algorithms=["RS256"],
                audience=self._settings.audience,
                issuer=ISSUER,
                options={"require": ["aud", "exp", "iss", "nbf"]},
            )
        except (jwt.PyJWTError, httpx.HTTPError) as error:
            logger.warning("a bearer token is not valid: %s", error)
            return None

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
                answer = await client.get(self._settings.keys)
                answer.raise_for_status()
            self._keys = {str(key.key_id): key for key in jwt.PyJWKSet.from_dict(answer.json()).keys}
        if key_id not in self._keys:
            raise jwt.InvalidKeyError(f"the issuer has no key {key_id!r}")
        return self._keys[key_id]


def _injected(claims: Mapping[str, Any]) -> dict[str, str]:
    name = str(claims.get("upn") or claims.get("name") or "")
    told = {
        "auth_typ": "aad",
        "claims": [{"typ": kind, "val": value} for kind, value in _flat(claims)],
        "name_typ": _NAME,
        "role_typ": _ROLE,
    }
    header = base64.b64encode(json.dumps(told).encode()).decode()
    return {
        PRINCIPAL: header,
        f"{PRINCIPAL}-id": str(claims.get("oid", "")),
        f"{PRINCIPAL}-name": name,
        f"{PRINCIPAL}-idp": "aad",
    }


def _flat(claims: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, value in claims.items():
        values: Sequence[Any] = value if isinstance(value, list) else [value]
        for each in values:
            yield _LONG_NAMES.get(kind, kind), str(each)
