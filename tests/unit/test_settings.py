"""Settings: what is right is read, and everything that is wrong is named at once, never with a secret in it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.settings import from_environment, rules_path

ROOT = Path(__file__).resolve().parents[2]
RIGHT: dict[str, str] = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
KEY = "c2VjcmV0a2V5c2VjcmV0a2V5"


def problems(**changes: str | None) -> list[str]:
    environment = {k: v for k, v in {**RIGHT, **changes}.items() if v is not None}
    with pytest.raises(ConfigurationError) as wrong:
        from_environment(environment)
    return [p.where for p in wrong.value.problems]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RelearnStorage", "garbage"),
        ("RelearnStorage", "AccountName=only"),
        ("RelearnStorage__blobServiceUri", "http://plain.blob.core.windows.net"),
        ("RelearnStorage__queueServiceUri", "https://"),
        ("RelearnStorage__tableServiceUri", "https://[x"),
        ("RelearnStorage__tableServiceUri", None),
        ("RELEARN_LAKE_BLOB_SERVICE_URIS", None),
        ("RELEARN_LAKE_BLOB_SERVICE_URIS", "https://[x"),
        ("RELEARN_LAKE_BLOB_SERVICE_URIS", "https://lake.blob.core.windows.net/container"),
        ("RELEARN_LAKE_BLOB_SERVICE_URIS", "https://127.0.0.1:1/"),
        ("RELEARN_LAKE_BLOB_SERVICE_URIS", "https://a.blob.core.windows.net,https://a.dfs.core.windows.net"),
        ("RELEARN_DATA_FACTORY_ID", None),
        *(
            ("RELEARN_RETENTION_DAYS", wrong)
            for wrong in ("6", "366", "30d", "-7", "7.5", "\N{ARABIC-INDIC DIGIT SEVEN}")
        ),
        ("RELEARN_DATA_FACTORY_ID", "adf-relearn"),
        ("RELEARN_WORKSPACE_ID", "mlw-relearn"),
        ("RELEARN_ARM_ENDPOINT", "management.azure.com"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str | None) -> None:
    assert problems(**{name: value}) == [f"setting {name}"]


def test_every_problem_is_named_at_once() -> None:
    wrong: dict[str, str | None] = dict.fromkeys(RIGHT)
    assert len(problems(**wrong)) == 6


def test_accounts_are_told_from_their_addresses() -> None:
    addresses = "https://lakeone.blob.core.windows.net, https://127.0.0.1:4711/laketwo/"
    found = from_environment({**RIGHT, "RELEARN_LAKE_BLOB_SERVICE_URIS": addresses})
    assert found.lake_accounts == {
        "lakeone": "https://lakeone.blob.core.windows.net",
        "laketwo": "https://127.0.0.1:4711/laketwo",
    }


def test_a_plain_connection_string_beats_the_addresses_and_is_never_shown() -> None:
    found = from_environment({**RIGHT, "RelearnStorage": f"AccountName=a;AccountKey={KEY}"})
    assert found.storage.connection_string == f"AccountName=a;AccountKey={KEY}"
    assert KEY not in repr(found)


def test_a_wrong_connection_string_is_not_echoed() -> None:
    with pytest.raises(ConfigurationError) as wrong:
        from_environment({**RIGHT, "RelearnStorage": f"AccountKey={KEY}"})
    assert KEY not in str(wrong.value)


def test_the_factory_is_read_from_its_resource_id_whatever_its_case() -> None:
    found = from_environment({**RIGHT, "RELEARN_DATA_FACTORY_ID": RIGHT["RELEARN_DATA_FACTORY_ID"].upper()})
    assert found.factory.name == "ADF-RELEARN"


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "reactions.yaml"), ("", "reactions.yaml"), ("a/b.yaml", "a/b.yaml")]
)
def test_the_rules_file_is_beside_host_json_unless_told_otherwise(value: str | None, expected: str) -> None:
    environment = {} if value is None else {"RELEARN_RULES": value}
    assert rules_path(Path("/app"), environment) == Path("/app") / expected


def test_things_are_kept_for_thirty_days_unless_the_setting_says_otherwise() -> None:
    assert from_environment({**RIGHT, "RELEARN_RETENTION_DAYS": ""}).retention == timedelta(days=30)
    for days in (7, 365):
        assert from_environment({**RIGHT, "RELEARN_RETENTION_DAYS": str(days)}).retention == timedelta(days=days)
