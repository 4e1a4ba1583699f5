"""What every test starts from: an environment without the developer's cloud, and the shared local cloud."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from local.accounts import Account
    from local.cloud import LocalCloud
    from tests.end_to_end.playing import Demos
    from tests.scenarios.stage import Stage

_OURS = ("RELEARN", "AZURE_", "IDENTITY_", "MSI_", "AZURITE_")
_DEMOS = {"demo", "real_demo", "told"}  # the fixtures of tests/end_to_end that show a demo
_TRUST = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("relearn", deadline=None)
settings.load_profile("relearn")


def _misleading(name: str) -> bool:
    upper = name.upper()
    return upper.startswith(_OURS) or upper.endswith("_PROXY") or upper in _TRUST


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """No setting, credential or proxy of the developer's shell can change a result."""
    removed = {name: os.environ.pop(name) for name in list(os.environ) if _misleading(name)}
    yield
    os.environ.update(removed)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Last come the tests that look at the demos, which play while all others run."""
    items.sort(key=lambda item: item.get_closest_marker("end_to_end") is not None)


def pytest_collection_finish() -> None:
    """What was loaded and collected stays to the end: no need to look through it again and again for garbage."""
    gc.collect()
    gc.freeze()


def _looks_at_a_demo(item: pytest.Item) -> bool:
    """Elsewhere a parameter may have one of these names."""
    end_to_end = item.get_closest_marker("end_to_end") is not None
    return end_to_end and bool(_DEMOS & set(getattr(item, "fixturenames", ())))


@pytest.fixture(scope="session", autouse=True)
def demos_meanwhile(
    request: pytest.FixtureRequest, _clean_environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demos | None]:
    """The demos, from the beginning of the session to its end, where a test will look at one."""
    if not any(_looks_at_a_demo(item) for item in request.session.items):
        yield None
        return
    from tests.end_to_end.playing import playing_demos

    with playing_demos(tmp_path_factory.mktemp("demos")) as playing:
        yield playing


@pytest.fixture(scope="session")
def cloud(_clean_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """The local cloud in memory, one for all tests; each takes accounts and factories of its own.

    Event Grid's first retry comes after 0.1 s. SDK clients made in this process reach it with its identity.
    """
    from local.azurite import AzuriteMissing
    from local.cloud import LocalCloud, Options

    local_cloud = LocalCloud(tmp_path_factory.mktemp("cloud"), in_memory=True, options=Options(time_scale=0.01))
    try:
        local_cloud.start()
    except AzuriteMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the local cloud cannot start: {missing}")
        pytest.skip(f"no local cloud: {missing}")
    ours = local_cloud.child_environment()
    os.environ.update(ours)
    yield local_cloud
    for name in set(ours) - {"PATH", "HOME", "LANG", "TMPDIR"}:
        del os.environ[name]
    problems = local_cloud.problems
    local_cloud.close()
    assert not problems, "the local cloud had trouble: " + "\n".join(problems)


@pytest.fixture(scope="session")
def credential(cloud: LocalCloud) -> Iterator[TokenCredential]:
    """What the app uses in Azure, here with the local cloud's managed identity."""
    from azure.identity import DefaultAzureCredential

    with DefaultAzureCredential() as found:
        yield found


@pytest.fixture
def app_account(cloud: LocalCloud) -> Account:
    """A storage account nobody else uses, with the app's tables, queues and containers."""
    account = cloud.new_app_account()
    cloud.provision(account.name)
    return account


@pytest.fixture
def lake_account(cloud: LocalCloud) -> Account:
    """A lake nobody else uses, with its container."""
    return cloud.new_lake_account()


@pytest.fixture
def stage_with(cloud: LocalCloud, credential: TokenCredential, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Makes stages for stories (tests/scenarios/stage.py): accounts, a factory and an app of their own."""
    from tests.scenarios.stage import Stage

    made: list[Stage] = []

    def make(**options: Any) -> Stage:
        made.append(Stage(cloud=cloud, credential=credential, folder=tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
