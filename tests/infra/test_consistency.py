"""What is said in two places is said alike; and a change of either side is noticed."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.infra.bicep import Refused
from tests.infra.checks import (
    access,
    learning,
    outputs,
    pipelines,
    promises,
    security,
    settings,
    storage,
    subscriptions,
)
from tests.infra.checks.repo import Repo
from tests.infra.twins import TWINS

MODULES = (security, settings, storage, subscriptions, pipelines, learning, access, outputs, promises)
CHECKS = {
    f"{module.__name__.rpartition('.')[2]}.{check.__name__}": check for module in MODULES for check in module.CHECKS
}


@pytest.fixture(scope="module")
def repo():
    return Repo()


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Another folder, in which one file at a time is changed."""
    return Repo().copy(tmp_path_factory.mktemp("repository"))


def said(check, repo):
    """What a check says; that a deployment is refused says something, too."""
    try:
        yield from check(repo)
    except Refused as refused:
        yield str(refused)


@pytest.mark.parametrize("name", CHECKS)
def test_both_sides_agree(name, repo):
    assert list(said(CHECKS[name], repo)) == []


@pytest.mark.parametrize(
    ("name", "twin"), [pytest.param(name, twin, id=f"{name}-{twin[3]}") for name in TWINS for twin in TWINS[name]]
)
def test_a_change_of_one_side_is_noticed(name, twin, copy):
    path, before, after, noticed = twin
    text, problems = copy.text(path), []
    assert before in text, f"{path} has changed: say here what to change now"
    with copy.changed(path, text.replace(before, after)) as changed:
        for problem in said(CHECKS[name], changed):
            problems.append(problem)
            if noticed in problem:
                return
    pytest.fail(f"{name} does not notice it, but says {problems}")


def test_every_check_has_a_twin():
    assert CHECKS.keys() == TWINS.keys()


def test_every_file_of_the_infrastructure_is_changed_by_a_twin(repo):
    """So that no file is one that no check reads."""
    changed = {path for path, *_ in chain.from_iterable(TWINS.values())}
    assert {str(path.relative_to(repo.root)) for path in repo.files("infra/**/*.bicep")} - changed == set()
