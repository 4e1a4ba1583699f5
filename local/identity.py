"""The managed-identity endpoint: hands out signed tokens to whoever knows its header, and shows the keys to check them.

What was granted here, as in an enterprise application: three identities have the three roles of the app's API.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.faults import FaultMiddleware, Faults
from local.service import TENANT

API_VERSION = "2019-08-01"
LIFETIME_SECONDS = 3600
PATH = "/msi/token"
KEYS_PATH: Final = "/discovery/keys"
ISSUER: Final = f"https://sts.windows.net/{TENANT}/"
SOMEBODY: Final = "00000000-0000-0000-0000-0000000000cc"
"""The client id in a token that nobody in particular asked for."""
FACTORY_CLIENT: Final = "00000000-0000-0000-0000-0000000000cf"
"""The data factory's own identity, as its Web activities use it."""
COMPUTE_CLIENT: Final = "00000000-0000-0000-0000-0000000000c0"
"""The identity of the workspace's compute: jobs act with it, and their data is read and written with it."""
API_AUDIENCE: Final = "api://relearn-local"
"""What tokens for the app's API are for."""
READER: Final = "00000000-0000-0000-0000-0000000000a1"
OPERATOR: Final = "00000000-0000-0000-0000-0000000000a2"
APPROVER: Final = "00000000-0000-0000-0000-0000000000a3"
_API_ROLES: Final[Mapping[str, str]] = {
    READER: "Relearn.Reader",
    OPERATOR: "Relearn.Operator",
    APPROVER: "Relearn.Approver",
}


def mint(resource: str, *, at: float | None = None, client: str = SOMEBODY) -> str:
    """A bearer token for `resource`, signed with this process's key; Azurite and our services read its claims only."""
    issued = int(time.time() if at is None else at)
    claims: dict[str, Any] = {
        "aud": resource.rstrip("/"),
        "iss": ISSUER,
        "tid": TENANT,
        "oid": "00000000-0000-0000-0000-0000000000bb",
        "appid": client,
        "iat": issued,
        "nbf": issued - 300,
        "exp": issued + LIFETIME_SECONDS,
    }
    if claims["aud"] == API_AUDIENCE and client in _API_ROLES:
        claims["roles"] = [_API_ROLES[client]]
    return jwt.encode(claims, _key(), algorithm="RS256", headers={"kid": _key_id()})


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def _key_id() -> str:
    return secrets.token_hex(8)


def client_of(authorization: str | None) -> str:
    """The client id in a bearer token; empty for every other credential."""
    token = (authorization or "").partition(" ")[2].split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(token[1] + "=" * (-len(token[1]) % 4)))
    except (IndexError, binascii.Error, ValueError):
        return ""
    return str(claims.get("appid", "")) if isinstance(claims, dict) else ""


class Identity:
    """Serves App Service's identity protocol and remembers which resources were asked for."""

    def __init__(self, header: str | None = None) -> None:
        self.header = header or secrets.token_hex(16)
        self.endpoint = ""  # known once it listens
        self.keys = ""
        self._lock = threading.Lock()
        self._requested: list[str] = []
        self.faults = Faults("identity")

    @property
    def requested(self) -> list[str]:
        """The resources tokens were made for, in order."""
        with self._lock:
            return list(self._requested)

    def application(self) -> Starlette:
        token = Route(PATH, self._token, methods=["GET"], middleware=[Middleware(FaultMiddleware, faults=self.faults)])
        return Starlette(routes=[token, Route(KEYS_PATH, _public_keys, methods=["GET"])])

    async def _token(self, request: Request) -> JSONResponse:
        if not hmac.compare_digest(request.headers.get("x-identity-header", ""), self.header):
            return _refusal(401, "X-IDENTITY-HEADER is missing or not this endpoint's")
        if request.query_params.get("api-version") != API_VERSION:
            return _refusal(400, f"api-version must be {API_VERSION}")
        resource = request.query_params.get("resource", "").rstrip("/")
        if not resource:
            return _refusal(400, "resource is missing")
        with self._lock:
            self._requested.append(resource)
        issued = time.time()
        client = request.query_params.get("client_id", "")
        return JSONResponse(
            {
                "access_token": mint(resource, at=issued, client=client or SOMEBODY),
                "expires_on": str(int(issued) + LIFETIME_SECONDS),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": client,
            }
        )


async def _public_keys(_: Request) -> JSONResponse:
    key = RSAAlgorithm.to_jwk(_key().public_key(), as_dict=True)
    return JSONResponse({"keys": [{**key, "use": "sig", "kid": _key_id()}]})


def _refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"statusCode": status, "message": message}, status_code=status)
