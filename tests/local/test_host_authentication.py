"""App Service Authentication as the local host imitates it, with tokens of the local identity."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local.cloud import LocalCloud
from local.host.authentication import Authentication
from local.host.client import FunctionHost
from local.identity import API_AUDIENCE, APPROVER, OPERATOR, READER, SOMEBODY, mint
from local.processes import scrubbed
from tests.callers import principal
from tests.local.test_host import APPS, DAILY, NO_QUEUES

pytestmark = pytest.mark.cloud
THING = "/api/probe/headers"


def environment(folder: Any) -> dict[str, str]:
    ours = {"RECORD_FILE": str(folder / "records"), "WORK_QUEUE": "work", "TICK": DAILY, **NO_QUEUES}
    return {**scrubbed(os.environ), **ours, "WEBSITE_AUTH_ENABLED": "whatever somebody sets"}


@pytest.fixture(scope="module")
def url(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("authenticated")
    with FunctionHost(
        APPS / "triggers", environment(folder), folder=folder, authentication=cloud.authentication()
    ) as host:
        yield host.url


def seen(url: str, **headers: str) -> dict[str, Any]:
    """What the function saw of a call with these headers."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = httpx.get(f"{url}{THING}", headers=sent, trust_env=False)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def caller(told: Mapping[str, Any]) -> dict[str, list[str]] | None:
    header = told["headers"].get("x-ms-client-principal")
    if header is None:
        return None
    content = json.loads(base64.b64decode(header))
    assert content["auth_typ"] == "aad"
    found: dict[str, list[str]] = {}
    for claim in content["claims"]:
        found.setdefault(claim["typ"], []).append(claim["val"])
    return found


@pytest.mark.parametrize(
    ("client", "roles"),
    [
        (READER, ["Relearn.Reader"]),
        (OPERATOR, ["Relearn.Operator"]),
        (APPROVER, ["Relearn.Approver"]),
        (SOMEBODY, None),
    ],
)
def test_a_valid_token_becomes_the_header_that_names_its_caller(url: str, client: str, roles: list[str] | None) -> None:
    told = seen(url, Authorization=f"Bearer {mint(API_AUDIENCE, client=client)}")
    found = caller(told)
    assert found is not None
    assert (found["appid"], found.get("roles"), told["enabled"]) == ([client], roles, "True")


def forged(**changes: Any) -> str:
    """A token like the local identity's, signed by another."""
    claims = {**jwt.decode(mint(API_AUDIENCE, client=OPERATOR), options={"verify_signature": False}), **changes}
    head = jwt.get_unverified_header(mint(API_AUDIENCE))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": head["kid"]})


def unsigned() -> str:
    claims = jwt.decode(mint(API_AUDIENCE, client=OPERATOR), options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none")


def swapped() -> str:
    """The operator's claims under the signature of the reader's token."""
    head, _, signature = mint(API_AUDIENCE, client=READER).split(".")
    return ".".join([head, mint(API_AUDIENCE, client=OPERATOR).split(".")[1], signature])


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        mint("https://management.azure.com", client=OPERATOR),
        mint(API_AUDIENCE, client=OPERATOR, at=0),
        mint(API_AUDIENCE, client=OPERATOR, at=4_000_000_000),
        forged(),
        unsigned(),
        swapped(),
    ],
    ids=["text", "parts", "audience", "expired", "too-early", "another-key", "unsigned", "swapped"],
)
def test_any_other_token_is_nobodys(url: str, token: str) -> None:
    assert caller(seen(url, Authorization=f"Bearer {token}")) is None


def test_what_a_client_says_under_the_platforms_names_is_taken_away(url: str) -> None:
    forged_header = principal("Relearn.Approver")["X-MS-CLIENT-PRINCIPAL"]
    told = seen(
        url, X_MS_CLIENT_PRINCIPAL=forged_header, X_Ms_Client_Principal_Name="boss", X_MS_TOKEN_AAD="x", X_A="1"
    )
    assert not [name for name in told["headers"] if name.startswith("x-ms-")]
    assert told["headers"]["x-a"] == "1"
    both = seen(url, X_MS_CLIENT_PRINCIPAL=forged_header, Authorization=f"Bearer {mint(API_AUDIENCE, client=READER)}")
    found = caller(both)
    assert found is not None
    assert found["roles"] == ["Relearn.Reader"]


def test_without_it_headers_pass_and_the_app_is_told_that_it_is_off(tmp_path: Any) -> None:
    with FunctionHost(APPS / "triggers", environment(tmp_path), folder=tmp_path) as host:
        told = seen(host.url, **{"X_MS_CLIENT_PRINCIPAL": principal("Relearn.Approver")["X-MS-CLIENT-PRINCIPAL"]})
    assert caller(told) is not None
    assert told["enabled"] == "False"


def test_keys_that_cannot_be_had_let_nobody_in(tmp_path: Any) -> None:
    nowhere = Authentication(keys="http://127.0.0.1:9/keys", audience=API_AUDIENCE)
    with FunctionHost(APPS / "triggers", environment(tmp_path), folder=tmp_path, authentication=nowhere) as host:
        assert caller(seen(host.url, Authorization=f"Bearer {mint(API_AUDIENCE, client=OPERATOR)}")) is None
