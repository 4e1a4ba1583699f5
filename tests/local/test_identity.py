"""The managed-identity endpoint, asked by hand and by azure-identity."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import httpx
import pytest
from azure.core.credentials import TokenCredential
from azure.identity import ManagedIdentityCredential

from local.cloud import LocalCloud
from local.identity import PATH, Identity, mint

GOOD = {"api-version": "2019-08-01", "resource": "https://ml.azure.com"}


def claims(token: str) -> dict[str, Any]:
    header, payload, signature = token.split(".")
    assert signature
    assert json.loads(_decoded(header))["typ"] == "JWT"
    decoded: dict[str, Any] = json.loads(_decoded(payload))
    return decoded


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def ask(identity: Identity, header: str | None, **query: str) -> httpx.Response:
    headers = {} if header is None else {"X-IDENTITY-HEADER": header}

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(identity.application())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(PATH, params=query, headers=headers)

    return asyncio.run(get())


def test_a_token_names_its_audience_and_when_it_ends() -> None:
    identity = Identity()
    answer = ask(identity, identity.header, **GOOD)
    assert answer.status_code == 200
    content = answer.json()
    assert (content["token_type"], content["resource"]) == ("Bearer", "https://ml.azure.com")
    found = claims(content["access_token"])
    assert found["aud"] == "https://ml.azure.com"
    assert found["iss"] == f"https://sts.windows.net/{found['tid']}/"
    assert found["exp"] == int(content["expires_on"]) > time.time() + 3000
    assert identity.requested == ["https://ml.azure.com"]


@pytest.mark.parametrize("header", [None, "", "wrong"])
def test_nobody_gets_a_token_without_the_header(header: str | None) -> None:
    identity = Identity()
    assert ask(identity, header, **GOOD).status_code == 401
    assert identity.requested == []


@pytest.mark.parametrize("missing", ["api-version", "resource"])
def test_an_incomplete_question_is_refused(missing: str) -> None:
    identity = Identity()
    query = {name: value for name, value in GOOD.items() if name != missing}
    assert ask(identity, identity.header, **query).status_code == 400
    assert identity.requested == []


def test_the_trailing_slash_of_a_resource_is_dropped() -> None:
    assert claims(mint("https://management.azure.com/"))["aud"] == "https://management.azure.com"


@pytest.mark.cloud
def test_azure_identity_takes_its_tokens_from_here(cloud: LocalCloud, credential: TokenCredential) -> None:
    token = credential.get_token("https://management.azure.com/.default")
    assert claims(token.token)["aud"] == "https://management.azure.com"
    with ManagedIdentityCredential(client_id="11111111-2222-3333-4444-555555555555") as user_assigned:
        assert claims(user_assigned.get_token("https://ml.azure.com/.default").token)["aud"] == "https://ml.azure.com"
    assert "https://ml.azure.com" in cloud.identity.requested
