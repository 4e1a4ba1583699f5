"""What is called needs actions, and roles give them: exactly those, as far as a call or Microsoft's pages can say."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from infra import security
from local.accesses import Access
from tests.infra import roles
from tests.infra.actions import NoAction, need_of
from tests.infra.story import APP_CLIENT, AUTH_MODES, Day, Recording

TABLE = roles.table()
ROWS = [f"{row['principal']}-{row['scope']}-{row['role']}" for row in TABLE["assignments"]]
MAIN = roles.ROOT / "infra" / "main.bicep"


@pytest.fixture(scope="module")
def recordings(cloud: Any, credential: Any, tmp_path_factory: Any) -> list[Recording]:
    return Day(cloud, credential, tmp_path_factory.mktemp("day")).play()


# --- the table by itself ----------------------------------------------------------------------------------------------


def test_the_table_is_well_formed() -> None:
    assert roles.malformed(TABLE) == []


def broken(change: Callable[[Any], object]) -> list[str]:
    changed = copy.deepcopy(TABLE)
    change(changed)
    return roles.malformed(changed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t["customRoles"]["model-reader"]["actions"].append("Microsoft.MachineLearningServices/*"),
            "wildcard",
        ),
        (lambda t: t["assignments"][0].update(principal="apps"), "a word that nobody knows"),
        (lambda t: t["assignments"][0].update(role="Storage Blob Owner"), "there is no such role"),
        (lambda t: t["assignments"][0].update(why=""), "does not say what needs it"),
        (lambda t: t["assignments"].append(t["assignments"][0]), "assigned twice"),
        (lambda t: t["customRoles"]["endpoint-caller"].update(builtIn="AzureML Data Scientist"), "assigned twice"),
        (lambda t: t["builtInRoles"].update(Owner="8e3af657-a8ff-443c-a75c-2fe8c4bcb635"), "nobody has this role"),
        (lambda t: t["builtInRoles"].update(AcrPull="7f951dda"), "is no guid"),
        (lambda t: t["customRoles"]["batch-invoker"]["unrecorded"][0].update(source=""), "no source"),
        (
            lambda t: t["customRoles"]["model-deployer"]["actions"].append(t["withheld"][1]["action"]),
            "withheld and given",
        ),
    ],
)
def test_a_malformed_table_is_named(change: Callable[[Any], object], said: str) -> None:
    assert any(said in problem for problem in broken(change)), broken(change)


def unknown_to(main: str, table: Any) -> set[str]:
    """The table's principals, scopes and conditions that main.bicep gives to nobody."""
    missing = {row["when"] for row in table["assignments"] if f"'{row['when']}'" not in main}
    for what in ("principal", "scope"):
        [block] = re.findall(rf"\n    {what}s: \{{\n(.*?)\n    \}}", main, re.DOTALL)
        missing |= {row[what] for row in table["assignments"]} - set(re.findall(r"^ +(\w+):", block, re.MULTILINE))
    return missing


def test_main_bicep_knows_every_name_of_the_table() -> None:
    main = MAIN.read_text()
    assert unknown_to(main, TABLE) == set()
    for name in ("endpointIdentity", "lakeTopic"):
        assert unknown_to(re.sub(rf"\n +{name}: .*", "", main), TABLE) == {name}
    assert unknown_to(main.replace("'amlTokenEndpoint'", "'amlToken'"), TABLE) == {"amlTokenEndpoint"}


# --- the table and what is called -------------------------------------------------------------------------------------


@pytest.mark.cloud
def test_everybody_was_heard(recordings: list[Recording]) -> None:
    calls = {
        principal: sum(len(each.of(principal)) for each in recordings) for principal in ("app", "factory", "compute")
    }
    assert all(count > 3 for count in calls.values()), calls
    assert {each.condition for each in recordings} == set(AUTH_MODES.values())


@pytest.mark.cloud
@pytest.mark.parametrize("built_in", [False, True], ids=["custom roles", "built-in roles"])
def test_every_call_is_allowed(recordings: list[Recording], built_in: bool) -> None:
    assert roles.problems(TABLE, recordings, built_in=built_in) == []


@pytest.mark.cloud
@pytest.mark.parametrize(("role", "action"), roles.custom_actions(TABLE))
def test_no_custom_role_can_do_without_any_of_its_actions(recordings: list[Recording], role: str, action: str) -> None:
    assert roles.problems(roles.without_action(TABLE, role, action), recordings)


@pytest.mark.cloud
def test_an_action_that_nobody_uses_any_more_is_one_too_many(recordings: list[Recording]) -> None:
    """Were no log read any more, the role could do without reading logs, and the test above would say so."""
    silent = [
        Recording(
            condition=each.condition,
            accesses=frozenset(access for access in each.accesses if not access.path.endswith("/getLogs")),
        )
        for each in recordings
    ]
    role, action = next(each for each in roles.custom_actions(TABLE) if each[1].endswith("/getlogs/action"))
    assert roles.problems(roles.without_action(TABLE, role, action), recordings)
    assert not roles.problems(roles.without_action(TABLE, role, action), silent)


@pytest.mark.cloud
@pytest.mark.parametrize("role", TABLE["customRoles"])
def test_what_a_role_has_without_a_call_is_what_it_says(recordings: list[Recording], role: str) -> None:
    """An action is called for `unrecorded` only while no recorded call needs it."""
    said = {action for reason in TABLE["customRoles"][role]["unrecorded"] for action in reason["actions"]}
    silent = set()
    for key, action in roles.custom_actions(TABLE):
        if key == role:
            without = roles.problems(roles.without_action(TABLE, role, action), recordings)
            if all(" asks for " in problem for problem in without):
                silent.add(action.removeprefix("data:"))
    assert silent == said


@pytest.mark.cloud
@pytest.mark.parametrize("place", range(len(ROWS)), ids=ROWS)
def test_an_assignment_is_recorded_if_a_call_needs_it(recordings: list[Recording], place: int) -> None:
    needed = bool(roles.problems(roles.without_row(TABLE, "assignments", place), recordings))
    assert needed == (TABLE["assignments"][place]["sure"] == "recorded")


@pytest.mark.cloud
def test_a_call_that_may_fail_is_withheld_with_its_reason(recordings: list[Recording]) -> None:
    """Played with a 403: the rollout still ends, and tells the log."""
    refused = roles.problems(roles.without_row(TABLE, "withheld", 0), recordings)
    assert refused
    assert all("mfeoperationsstatus" in each.lower() for each in refused)


def test_a_call_that_nobody_has_looked_up_is_named() -> None:
    access = Access(APP_CLIENT, "blob", "DELETE", "/app000/manifests/r-1.json")
    with pytest.raises(
        NoAction, match=r"DELETE /app000/manifests/r-1\.json \(blob\) is called, and tests/infra/actions"
    ):
        need_of(access)


def test_a_call_on_another_scope_is_not_allowed() -> None:
    """The app may read the lake, and write nothing there."""
    writing = Access(APP_CLIENT, "blob", "PUT", "/lake000/lake/in/a.csv")
    recording = Recording(condition="aadEndpoint", accesses=frozenset({writing}))
    [problem] = roles.problems(TABLE, [recording])
    assert problem.startswith("app: PUT /lake000/lake/in/a.csv needs")


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_says_what_the_table_says() -> None:
    page = security.PAGE.read_text()
    assert page == security.written(page, TABLE), "write the page anew: python -m infra.security"


@pytest.mark.parametrize("list_", ["assignments", "withheld"])
def test_a_page_of_another_table_is_another_page(list_: str) -> None:
    page = security.PAGE.read_text()
    assert page != security.written(page, roles.without_row(TABLE, list_, 0))
    role, action = roles.custom_actions(TABLE)[0]
    assert page != security.written(page, roles.without_action(TABLE, role, action))
