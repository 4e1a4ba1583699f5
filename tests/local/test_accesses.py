"""Every front of the cloud tells who asked it what, whatever the answer was."""

from __future__ import annotations

import ssl

import httpx
import pytest
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient

from local.accesses import Access
from local.accounts import Account
from local.cloud import LocalCloud
from local.identity import SOMEBODY, client_of, mint
from local.service import factory_id

APP = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("authorization", "client"),
    [
        (f"Bearer {mint('https://storage.azure.com', client=APP)}", APP),
        (f"bearer {mint('https://storage.azure.com')}", SOMEBODY),
        ("Bearer an-endpoints-key", ""),
        ("Bearer a.b.c", ""),
        ("SharedKey account:signature", ""),
        (None, ""),
    ],
)
def test_a_caller_is_known_by_its_token(authorization: str | None, client: str) -> None:
    assert client_of(authorization) == client


@pytest.mark.cloud
def test_storage_and_arm_tell_who_asked_for_what(cloud: LocalCloud, app_account: Account) -> None:
    seen: list[Access] = []
    remove = cloud.accesses.on(seen.append)
    trust = ssl.create_default_context(cafile=str(cloud.certificates.ca_file))
    headers = {"Authorization": f"Bearer {mint('https://management.azure.com', client=APP)}"}
    with (
        ManagedIdentityCredential(client_id=APP) as credential,
        BlobServiceClient(app_account.blob, credential=credential) as service,
        httpx.Client(verify=trust, trust_env=False) as client,
    ):
        service.get_blob_client("manifests", "a b.json").upload_blob(b"{}")
        list(service.get_container_client("manifests").list_blob_names())
        client.get(f"{cloud.arm_url}{factory_id('No-Such')}/pipelines/p", headers=headers)
        remove()
        client.get(f"{cloud.arm_url}{factory_id('No-Such')}/pipelines/q", headers=headers)
    name = app_account.name
    assert [each for each in seen if each.caller == APP] == [
        Access(APP, "blob", "PUT", f"/{name}/manifests/a b.json"),
        Access(APP, "blob", "GET", f"/{name}/manifests?comp=list"),
        Access(APP, "arm", "GET", f"{factory_id('No-Such')}/pipelines/p"),
    ]
