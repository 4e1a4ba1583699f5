"""azd's hooks: what they decide, as values; and what they do, with `az` and `azd` that note what they are asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra import start
from infra.hooks import down, endpoints, parameters, postdeploy, postprovision, preprovision, registration
from infra.hooks.endpoints import Found
from infra.hooks.tools import CommandFailed, HookFailed
from infra.pipelines import environment as pipeline_environment
from infra.pipelines import tear_down
from infra.pipelines.rest import PipelineFailed
from ml.publish import arguments
from shared.access import Role
from tests.infra.commands import Commands

ROOT = Path(__file__).resolve().parents[2]
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
AZURE = {"AZURE_ENV_NAME": "try", "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION, "AZURE_LOCATION": "westeurope"}
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-relearn-try"
OTHERS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-data"
LAKE = f"{OTHERS}/providers/Microsoft.Storage/storageAccounts/dlsdata"
TOPIC = f"{OTHERS}/providers/Microsoft.EventGrid/systemTopics/theirs"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw"
CLIENT = "99999999-0000-0000-0000-000000000001"
REGISTRATION = {"displayName": "relearn-try", "id": "object-1", "appId": CLIENT}
OUTPUTS = {
    **AZURE,
    "AZURE_RESOURCE_GROUP": "rg-relearn-try",
    "AZURE_FUNCTION_APP_NAME": "func",
    "RELEARN_APP_STORAGE_ACCOUNT": "strelearn",
    "RELEARN_LAKE_TOPIC_ID": f"{GROUP}/providers/Microsoft.EventGrid/systemTopics/lake",
    "RELEARN_WORKSPACE_TOPIC_ID": f"{GROUP}/providers/Microsoft.EventGrid/systemTopics/workspace",
    "RELEARN_EVENT_DELIVERY": "webhook",
    "RELEARN_WORKSPACE_ID": WORKSPACE,
    "RELEARN_WORKSPACE_NAME": "mlw",
    "RELEARN_WORKSPACE_RESOURCE_GROUP": "rg-relearn-try",
    "DIABETES_ENDPOINT": "diabetes-abc",
    "RELEARN_PREP_ENDPOINT": "diabetes-prep-abc",
    "RELEARN_SCORE_ENDPOINT": "diabetes-score-abc",
    "RELEARN_TRAIN_ENDPOINT": "diabetes-train-abc",
    "RELEARN_LAKE_CONTAINER_URL": "https://dlsdata.blob.core.windows.net/lake",
}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands(tmp_path / "commands")
    monkeypatch.setenv("PATH", f"{made.folder}{os.pathsep}{os.environ['PATH']}")
    made.answer("keyvault list-deleted", [])
    made.answer("ad app list", [REGISTRATION])
    made.answer("ad sp list", [{"appId": CLIENT}])
    return made


# --- parameters -------------------------------------------------------------------------------------------------------


def test_parameters_that_can_go_together() -> None:
    assert parameters.problems({**AZURE, "RELEARN_EXISTING_LAKE_ID": LAKE, "RELEARN_MAXIMUM_INSTANCES": "40"}) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"RELEARN_NETWORK_ISOLATION": "yes"}, "RELEARN_NETWORK_ISOLATION must be one of true, false"),
        (
            {"RELEARN_NETWORK_ISOLATION": "true", "RELEARN_EVENT_DELIVERY_WANTED": "webhook"},
            "webhook and RELEARN_NETWORK_ISOLATION true exclude each other",
        ),
        ({"RELEARN_EXISTING_LAKE_ID": WORKSPACE}, "must be the resource id of a Microsoft.Storage/storageAccounts"),
        ({"RELEARN_EXISTING_LAKE_ID": LAKE.replace("0001", "0002")}, "is in subscription"),
        ({"RELEARN_EXISTING_LAKE_TOPIC_ID": TOPIC}, "RELEARN_EXISTING_LAKE_TOPIC_ID is set and"),
        ({"RELEARN_MAXIMUM_INSTANCES": "0"}, "must be a whole number from 1 to 1000"),
        ({"RELEARN_DIABETES_ENDPOINT": "a--b"}, "3 to 32 small letters"),
        ({"RELEARN_PYTHON_VERSION": "3.10"}, "must be one of 3.11, 3.12, 3.13"),
    ],
)
def test_parameters_that_cannot(wrong: dict[str, str], said: str) -> None:
    [problem] = parameters.problems({**AZURE, **wrong})
    assert said in problem


def test_every_parameter_of_the_deployment_is_known_to_the_hook() -> None:
    """A name that main.parameters.json reads and nobody checks would be a typing error's hiding place."""
    file = ROOT / "infra" / "main.parameters.json"
    read = set(re.findall(r"\$\{(\w+)", file.read_text()))
    found_out = {"AZURE_LOCATION", "AZURE_PRINCIPAL_ID", "RELEARN_CREATE_ENDPOINTS", "RELEARN_RECOVER_VAULT"}
    assert read - found_out - {"RELEARN_COST_CENTER"} == {*parameters.FORMS, *parameters.EXISTING}


def test_a_source_that_has_a_topic_names_it() -> None:
    there = [{"id": TOPIC, "tags": None, "properties": {"source": LAKE.upper()}}]
    wanted = {**AZURE, "RELEARN_EXISTING_LAKE_ID": LAKE}
    [told] = parameters.topics_in_the_way(wanted, there)
    assert TOPIC in told
    assert "RELEARN_EXISTING_LAKE_TOPIC_ID" in told
    assert parameters.topics_in_the_way({**wanted, "RELEARN_EXISTING_LAKE_TOPIC_ID": TOPIC}, there) == []
    ours = [{**there[0], "tags": {"azd-env-name": "try"}}]
    assert parameters.topics_in_the_way(wanted, ours) == []


# --- the API's app registration ---------------------------------------------------------------------------------------


def changed(commands: Commands) -> list[Any]:
    return [json.loads(call[call.index("--body") + 1]) for call in commands.calls("az rest --method PATCH")]


def test_the_registration_is_made_with_the_roles_that_the_app_knows(commands: Commands) -> None:
    commands.answer("ad app list", [{**REGISTRATION, "displayName": "relearn-try-other"}])
    commands.answer("ad app create", REGISTRATION)
    commands.answer("ad sp list", [])
    assert registration.client_id(AZURE) == CLIENT
    first, second = changed(commands)
    roles = first["appRoles"]
    assert ({role["value"] for role in roles}, len({role["id"] for role in roles})) == (set(Role), len(Role))
    assert all(role["isEnabled"] and set(role["allowedMemberTypes"]) == {"User", "Application"} for role in roles)
    assert (first["identifierUris"], first["api"]["requestedAccessTokenVersion"]) == ([f"api://{CLIENT}"], 2)
    [let_in] = second["api"]["preAuthorizedApplications"]
    [scope] = first["api"]["oauth2PermissionScopes"]
    assert let_in["delegatedPermissionIds"] == [scope["id"]]
    assert len(commands.calls(f"az ad sp create --id {CLIENT}")) == 1


def test_one_that_is_there_is_kept_in_step_and_one_that_is_named_left_alone(commands: Commands) -> None:
    assert registration.client_id(AZURE) == CLIENT
    assert len(changed(commands)) == 2
    assert commands.calls("az ad app create") == commands.calls("az ad sp create") == []
    assert registration.client_id({**AZURE, "RELEARN_API_CLIENT_ID": "given"}) == "given"
    assert len(changed(commands)) == 2


@pytest.mark.parametrize("step", ["ad app list", "rest --method PATCH"])
def test_a_directory_that_lets_nobody_make_one_stops_no_deployment(
    commands: Commands, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.answer(step, "Authorization_RequestDenied", code=1)
    assert registration.client_id(AZURE) is None
    said = capsys.readouterr().out
    assert "answer 401" in said
    assert "Authorization_RequestDenied" in said


def test_several_of_its_name_are_not_chosen_from(commands: Commands) -> None:
    commands.answer("ad app list", [REGISTRATION, {**REGISTRATION, "appId": "another"}])
    with pytest.raises(HookFailed, match="set RELEARN_API_CLIENT_ID"):
        registration.client_id(AZURE)


# --- endpoints --------------------------------------------------------------------------------------------------------


def found(
    name: str = "diabetes-abc", kind: str = endpoints.ONLINE, environment: str = "try", serves: str = ""
) -> Found:
    return Found(name=name, kind=kind, environment=environment, serves=serves)


BATCH = [found(name, endpoints.BATCH) for name in ("prep", "score", "train")]


@pytest.mark.parametrize(
    ("there", "create"),
    [
        ([], True),
        ([found(environment="others", serves="100 % of its traffic to blue")], True),
        ([found()], True),
        ([found(), *BATCH], False),
        ([found(serves="100 % of its traffic to blue")], False),
        ([*BATCH[:2], found("train", endpoints.BATCH, serves="its default deployment v1")], False),
        ([found("given", environment="", serves="100 % of its traffic to blue")], False),
    ],
    ids=["none", "of others", "half of them", "all", "serving", "batch serving", "by its name"],
)
def test_endpoints_are_made_only_where_nothing_can_be_lost(there: list[Found], create: bool) -> None:
    assert endpoints.plan(there, "try", "given").create is create


def test_what_an_endpoint_serves_is_read_from_the_workspace() -> None:
    online = {"name": "e", "tags": {"azd-env-name": "try"}, "properties": {"traffic": {"blue": 90, "green": 0}}}
    read = Found.read(endpoints.ONLINE, online)
    assert (read.environment, read.serves) == ("try", "90 % of its traffic to blue")
    assert Found.read(endpoints.ONLINE, {"name": "e", "properties": {"traffic": None}}).serves == ""
    batch = {"name": "b", "tags": {}, "properties": {"defaults": {"deploymentName": "v1"}}}
    assert Found.read(endpoints.BATCH, batch).serves == "its default deployment v1"


# --- preprovision -----------------------------------------------------------------------------------------------------


def there(commands: Commands, *, serving: bool) -> None:
    """A deployment of this environment, as az would show it."""
    tags = {"azd-env-name": "try"}
    online = {"name": "diabetes-abc", "tags": tags, "properties": {"traffic": {"blue": 100} if serving else {}}}
    commands.answer(f"{GROUP}?", {"id": GROUP})
    commands.answer("Microsoft.MachineLearningServices/workspaces?", {"value": [{"id": WORKSPACE}]})
    commands.answer("/batchEndpoints?", {"value": []})
    commands.answer("/onlineEndpoints?", {"value": [online]})


def test_the_first_deployment_makes_the_endpoints(commands: Commands) -> None:
    commands.answer(f"{GROUP}?", "ResourceGroupNotFound", code=3)
    preprovision.run(AZURE)
    found_out = {"RELEARN_API_CLIENT_ID": CLIENT, "RELEARN_RECOVER_VAULT": "false"}
    assert commands.set() == {"RELEARN_CREATE_ENDPOINTS": "true", **found_out}


def test_the_next_one_leaves_them_alone(commands: Commands) -> None:
    there(commands, serving=True)
    before = {"RELEARN_API_CLIENT_ID": CLIENT, "RELEARN_CREATE_ENDPOINTS": "true", "RELEARN_RECOVER_VAULT": "false"}
    preprovision.run({**AZURE, **before})
    assert commands.set() == {"RELEARN_CREATE_ENDPOINTS": "false"}


def test_what_cannot_be_asked_is_not_taken_for_nothing(commands: Commands) -> None:
    """A workspace that does not answer may hold an endpoint with a live model."""
    there(commands, serving=True)
    commands.answer("/onlineEndpoints?", "AuthorizationFailed", code=1)
    with pytest.raises(CommandFailed, match="AuthorizationFailed"):
        preprovision.run(AZURE)
    assert commands.set() == {}


def test_a_deleted_vault_of_this_environment_is_recovered(commands: Commands) -> None:
    commands.answer(f"{GROUP}?", "ResourceGroupNotFound", code=3)
    deleted = {"name": "kv", "properties": {"location": "West Europe", "tags": {"azd-env-name": "try"}}}
    commands.answer("keyvault list-deleted", [deleted])
    preprovision.run(AZURE)
    assert commands.set()["RELEARN_RECOVER_VAULT"] == "true"
    assert preprovision.deleted_vault({**AZURE, "AZURE_ENV_NAME": "other"}, [deleted]) is None


def test_wrong_parameters_change_nothing(commands: Commands) -> None:
    with pytest.raises(HookFailed, match="RELEARN_NETWORK_ISOLATION"):
        preprovision.run({**AZURE, "RELEARN_NETWORK_ISOLATION": "maybe"})
    assert commands.calls() == []


# --- postprovision, postdeploy ----------------------------------------------------------------------------------------


def test_an_endpoint_that_was_not_made_is_told(commands: Commands) -> None:
    commands.answer("/onlineEndpoints/diabetes-abc", "ResourceNotFound: Not Found", code=3)
    with pytest.raises(HookFailed, match="azd provision"):
        postprovision.run(OUTPUTS)
    assert commands.set() == {}


def test_what_is_published_has_this_environments_names_and_monitors() -> None:
    said = " ".join(postprovision.command({**OUTPUTS, "RELEARN_MONITORED_BATCHES": "clinic, ward"}))
    assert "--endpoint prep=diabetes-prep-abc --endpoint score=diabetes-score-abc" in said
    monitors = "--monitor clinic --monitor ward --lake https://dlsdata.blob.core.windows.net/lake"
    assert said.endswith(f"--endpoint train=diabetes-train-abc {monitors}")
    assert "--monitor" not in postprovision.command(OUTPUTS)


def test_publish_takes_what_the_hook_says() -> None:
    told = arguments(postprovision.command({**OUTPUTS, "RELEARN_MONITORED_BATCHES": "clinic"})[2:])
    assert dict(told.endpoint)["train"] == "diabetes-train-abc"
    assert (told.workspace, told.monitor) == ("mlw", ["clinic"])
    assert told.lake == "https://dlsdata.blob.core.windows.net/lake"


def test_only_a_role_that_does_not_count_yet_is_waited_for() -> None:
    assert postprovision.forbidden("(AuthorizationFailed) The client … does not have authorization")
    assert not postprovision.forbidden("ml/components/prep/component.yml: no such environment")


@pytest.mark.parametrize(("said", "tries"), [("AuthorizationFailed", postprovision.TRIES), ("raise it to 2", 1)])
def test_endpoints_that_are_there_stay_whatever_becomes_of_publishing(
    commands: Commands, said: str, tries: int
) -> None:
    """The flag goes before anything can fail: the next provisioning must not put them again."""
    commands.answer("/onlineEndpoints/diabetes-abc", {"name": "diabetes-abc"})
    tried: list[tuple[str, ...]] = []

    def publish(*arguments: str) -> None:
        tried.append(arguments)
        raise CommandFailed("it ended with 1", said)

    with pytest.raises(CommandFailed):
        postprovision.run({**OUTPUTS, "RELEARN_CREATE_ENDPOINTS": "true"}, pause=0, publish=publish)
    assert commands.set() == {"RELEARN_CREATE_ENDPOINTS": "false"}
    assert tried == [tuple(postprovision.command(OUTPUTS))] * tries


def test_a_role_that_counts_at_last_is_enough(commands: Commands) -> None:
    commands.answer("/onlineEndpoints/diabetes-abc", {"name": "diabetes-abc"})
    left = [CommandFailed("it ended with 1", "Forbidden")]

    def publish(*_: str) -> None:
        if left:
            raise left.pop()

    postprovision.run(OUTPUTS, pause=0, publish=publish)
    assert left == []


def test_the_queue_needs_no_subscriptions_from_the_hook(commands: Commands) -> None:
    postdeploy.run({**OUTPUTS, "RELEARN_EVENT_DELIVERY": "queue"})
    assert commands.calls() == []


def test_the_subscriptions_are_made_once_the_function_is_there(commands: Commands) -> None:
    commands.answer("/functions/receive_event?", {"name": "receive_event"})
    postdeploy.run(OUTPUTS, pause=0)
    asked, [made] = commands.calls("az rest"), commands.calls("az deployment")
    assert len(asked) == 1
    assert made[made.index("--template-file") + 1] == "infra/events.bicep"
    assert f"lakeTopicId={OUTPUTS['RELEARN_LAKE_TOPIC_ID']}" in made


def test_an_app_without_functions_gets_none(commands: Commands) -> None:
    commands.answer("/functions/receive_event?", "NotFound", code=3)
    with pytest.raises(HookFailed, match="shows no function receive_event"):
        postdeploy.run(OUTPUTS, pause=0, tries=3)
    assert commands.calls("az deployment") == []


@pytest.mark.parametrize(("said", "tries"), [("Webhook validation handshake failed", 3), ("InvalidTemplate", 1)])
def test_event_grids_question_is_repeated_and_nothing_else(commands: Commands, said: str, tries: int) -> None:
    commands.answer("/functions/receive_event?", {"name": "receive_event"})
    commands.answer("deployment group create", said, code=1)
    with pytest.raises(CommandFailed):
        postdeploy.run(OUTPUTS, pause=0)
    assert len(commands.calls("az deployment")) == tries


@pytest.mark.parametrize("hook", [postprovision, postdeploy])
def test_a_hook_without_its_outputs_says_which(hook: Any) -> None:
    with pytest.raises(HookFailed, match=hook.NEEDED[-1]):
        hook.run(AZURE)


# --- down -------------------------------------------------------------------------------------------------------------


def test_azd_down_does_not_take_what_was_there_before() -> None:
    down.before(AZURE)
    with pytest.raises(HookFailed, match="rg-data, which are not its own"):
        down.before({**AZURE, "RELEARN_EXISTING_LAKE_ID": LAKE})
    own = LAKE.replace("rg-data", "RG-RELEARN-TRY")
    assert down.foreign_groups({**AZURE, "RELEARN_EXISTING_LAKE_ID": own}) == []


ROLE = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/r1"
BUILT_IN = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/b1"


def an_environment(commands: Commands) -> None:
    commands.answer(f"{GROUP}?", {"id": GROUP, "tags": {"azd-env-name": "try"}})
    inside = [
        {"id": WORKSPACE, "type": tear_down.WORKSPACES, "name": "mlw", "identity": {"principalId": "p-workspace"}},
        {"id": f"{GROUP}/providers/{tear_down.VAULTS}/kv", "type": tear_down.VAULTS, "name": "kv", "identity": None},
    ]
    ours = {"id": f"{OTHERS}/providers/Microsoft.EventGrid/systemTopics/ours", "type": "t", "name": "ours"}
    commands.answer("resource list --resource-group", inside)
    commands.answer("resource list --tag", [*inside, {**ours, "identity": {"principalId": "p-topic"}}])
    title = tear_down.titles()[0]
    commands.answer(
        "role definition list",
        [
            {"id": ROLE, "roleName": f"{title} 1234", "assignableScopes": [GROUP]},
            {"id": f"{ROLE}9", "roleName": f"{title} 5678", "assignableScopes": [f"{GROUP}-other"]},
            {"id": f"{ROLE}8", "roleName": "Somebody else's", "assignableScopes": [GROUP]},
        ],
    )
    assigned = [
        {"id": "a-custom", "principalId": "p-app", "roleDefinitionId": ROLE, "scope": WORKSPACE},
        {"id": "a-theirs", "principalId": "p-else", "roleDefinitionId": BUILT_IN, "scope": LAKE},
        {"id": "a-lake", "principalId": "p-app", "roleDefinitionId": BUILT_IN, "scope": LAKE},
        {"id": "a-inside", "principalId": "p-app", "roleDefinitionId": BUILT_IN, "scope": WORKSPACE},
    ]
    commands.answer("role assignment list", [{**each, "id": f"/{each['id']}"} for each in assigned])
    commands.answer("identity list", [{"principalId": "p-app"}])
    theirs = [
        {
            "id": f"{TOPIC}/eventSubscriptions/s1",
            "properties": to(f"{GROUP}/providers/Microsoft.Web/sites/f/functions/r"),
        },
        {"id": f"{TOPIC}/eventSubscriptions/s2", "properties": to(f"{OTHERS}/providers/Microsoft.Web/sites/f")},
    ]
    commands.answer("systemTopics?", {"value": [{"id": TOPIC}, {"id": ours["id"]}]})
    commands.answer("/eventSubscriptions?", {"value": theirs})
    commands.answer("mlw?api-version", "ResourceNotFound: Not Found", code=3)


def to(resource_id: str) -> dict[str, Any]:
    return {"destination": {"endpointType": "AzureFunction", "properties": {"resourceId": resource_id}}}


def test_the_plan_of_a_tear_down_deletes_nothing(commands: Commands, monkeypatch: Any, capsys: Any) -> None:
    an_environment(commands)
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    assert tear_down.main(["--environment", "try", "--plan"]) == 0
    assert "would delete resource group rg-relearn-try" in capsys.readouterr().out
    assert [call for call in commands.calls() if "delete" in call] == []


def test_a_tear_down_takes_what_is_ours_in_the_order_in_which_it_can_go(commands: Commands, monkeypatch: Any) -> None:
    an_environment(commands)
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    assert tear_down.main(["--environment", "try", "--confirm", "try"]) == 0
    texts = [" ".join(call) for call in commands.calls() if "delete" in call]
    order = [
        "eventSubscriptions/s1?",
        "systemTopics/ours",
        "forceToPurge=true",
        "/a-custom?",
        "/a-lake?",
        ROLE,
        "group delete",
    ]
    assert len(texts) == len(order)
    assert all(wanted in text for wanted, text in zip(order, texts, strict=True))


def test_a_group_that_is_somebody_elses_is_not_torn_down(commands: Commands, monkeypatch: Any) -> None:
    an_environment(commands)
    commands.answer(f"{GROUP}?", {"id": GROUP, "tags": {}})
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    assert tear_down.main(["--environment", "try", "--confirm", "try"]) == 1
    assert [call for call in commands.calls() if "delete" in call] == []


def test_a_tear_down_is_confirmed_by_its_name(commands: Commands, monkeypatch: Any) -> None:
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    with pytest.raises(SystemExit):
        tear_down.main(["--environment", "try", "--confirm", "prod"])
    assert commands.calls() == []


# --- azure.yaml and what it starts ------------------------------------------------------------------------------------


def hooks() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load((ROOT / "azure.yaml").read_text())
    return found


def test_every_hook_runs_the_same_step_everywhere() -> None:
    from infra.hooks.__main__ import STEPS

    told = hooks()["hooks"]
    assert set(told) == set(STEPS)
    for step, systems in told.items():
        assert systems["posix"] == {"shell": "sh", "run": f"python3 infra/start.py infra.hooks {step}"}
        run = f"python infra/start.py infra.hooks {step}; exit $LASTEXITCODE"
        assert systems["windows"] == {"shell": "pwsh", "run": run}


def test_the_service_is_the_app_and_its_build_is_azures() -> None:
    assert hooks()["services"] == {
        "app": {"project": ".", "language": "python", "host": "function", "remoteBuild": True}
    }
    assert hooks()["infra"] == {"provider": "bicep", "path": "infra", "module": "main"}


def test_an_unknown_step_says_which_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.hooks", "predinner"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "preprovision|postprovision" in done.stderr


def test_the_environment_of_the_hooks_is_made_once(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    python = start.environment(tmp_path / "venv", requirements)
    assert subprocess.run([str(python), "-c", "print(1)"], check=False, capture_output=True).returncode == 0
    (tmp_path / "venv" / "mark").touch()
    assert start.environment(tmp_path / "venv", requirements) == python
    assert (tmp_path / "venv" / "mark").exists()
    requirements.write_text("# something else\n")
    start.environment(tmp_path / "venv", requirements)
    assert not (tmp_path / "venv" / "mark").exists()


# --- azd's environment in a pipeline ----------------------------------------------------------------------------------


def test_a_pipeline_makes_azds_environment(commands: Commands, monkeypatch: Any) -> None:
    for name, value in {**AZURE, "RELEARN_PARAMETERS": "# few\nRELEARN_MAXIMUM_INSTANCES = 5\n\n"}.items():
        monkeypatch.setenv(name, value)
    assert pipeline_environment.main() == 0
    [made] = commands.calls("azd env new")
    assert made[3:] == ["try", "--subscription", SUBSCRIPTION, "--location", "westeurope", "--no-prompt"]
    assert commands.set() == {"RELEARN_MAXIMUM_INSTANCES": "5", "AZURE_PRINCIPAL_TYPE": "ServicePrincipal"}


def test_a_variable_of_azure_devops_may_be_unset_or_one_line() -> None:
    assert pipeline_environment.settings("$(RELEARN_PARAMETERS)") == {}
    told = pipeline_environment.settings("RELEARN_MAXIMUM_INSTANCES=5; RELEARN_COST_CENTER = ml")
    assert told == {"RELEARN_MAXIMUM_INSTANCES": "5", "RELEARN_COST_CENTER": "ml"}


@pytest.mark.parametrize("line", ["RELEARN_CREATE_ENDPOINTS=true", "PATH=/tmp", "nonsense"])
def test_what_is_no_parameter_is_refused(line: str) -> None:
    with pytest.raises(PipelineFailed, match="is no parameter"):
        pipeline_environment.settings(line)
