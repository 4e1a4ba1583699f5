"""What azd, its hooks and the delivery pipelines take from the deployment, and what they hand to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.infra.bicep import Refused, problems, refusals, tree
from tests.infra.bicep.deployment import deploy
from tests.infra.checks.learning import WORKSPACE, names
from tests.infra.checks.repo import Repo, differences
from tests.infra.checks.settings import app
from tests.infra.checks.variants import VARIANTS

# Of azd, of the Azure CLI's sign-in, of hooks and pipelines: nothing that main.bicep gives or takes.
OF_OTHERS = {
    "AZURE_CLIENT_ID", "AZURE_CONFIG_DIR", "AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID",
    "AZURE_PRINCIPAL_TYPE", "AZURE_SUBSCRIPTION_ID", "AZURE_TENANT_ID", "RELEARN_MONITORED_BATCHES",
    "RELEARN_PARAMETERS",
}  # fmt: skip
# For people: `azd env get-values` says where to look.
FOR_PEOPLE = {"RELEARN_DATA_FACTORY_NAME"}
USERS = (
    "azure.yaml", "infra/hooks/*.py", "infra/pipelines/*.py", ".github/workflows/*.yml", "azure-pipelines/**/*.yml",
)  # fmt: skip
VARIABLE = re.compile(r"\b(?:AZURE|RELEARN|DIABETES)_[A-Z][A-Z_]*[A-Z]\b")


def declared(repo: Repo, kind: type, path: str = "infra/main.bicep") -> dict[str, Any]:
    return {each.name: each for each in refusals.load(repo.root / path).declarations if isinstance(each, kind)}


def variables(repo: Repo) -> dict[str, str]:
    """azd's variables by the parameters of main.bicep that they give."""
    given = repo.json("infra/main.parameters.json")["parameters"]
    return {name: re.findall(r"\$\{(\w+)", str(each["value"]))[0] for name, each in given.items()}


def users(repo: Repo) -> Iterator[Path]:
    for pattern in USERS:
        yield from repo.files(pattern)


def parameters_are_main_bicep_s(repo: Repo) -> Iterator[str]:
    """Every parameter can be given by azd's environment, and each of the file is one."""
    yield from differences("main.parameters.json", set(variables(repo)), set(declared(repo, tree.Parameter)))


def azds_defaults_are_main_bicep_s(repo: Repo) -> Iterator[str]:
    """An environment that sets nothing deploys what main.bicep does by itself: azd converts texts, and leaves out
    empty ones that have a default."""
    given = {}
    for name, parameter in declared(repo, tree.Parameter).items():
        text = repo.json("infra/main.parameters.json")["parameters"].get(name, {}).get("value", "")
        value = re.sub(r"\$\{(\w+)(?:=([^}]*))?\}", lambda found: AZD.get(found[1], found[2] or ""), text)
        if value or parameter.default is None:
            given[name] = {"bool": value == "true", "int": int(value) if value.isdigit() else value}.get(
                parameter.type.kind, value
            )
    try:
        found = deploy(repo.root / "infra" / "main.bicep", given)
    except Refused as problem:
        yield f"azd's defaults: {problem}"
        return
    wanted = repo.deployed("default")
    yield from differences(
        "azd's defaults", {e.id: e.body for e in found.resources}, {e.id: e.body for e in wanted.resources}
    )


AZD = {
    "AZURE_ENV_NAME": str(VARIANTS["default"].parameters["environmentName"]),
    "AZURE_LOCATION": str(VARIANTS["default"].parameters["location"]),
    "AZURE_PRINCIPAL_ID": str(VARIANTS["default"].parameters["principalId"]),
}


def variables_that_are_used_exist(repo: Repo) -> Iterator[str]:
    known = {*declared(repo, tree.Output), *variables(repo).values(), *OF_OTHERS, *repo.settings_read}
    for path in (*users(repo), *repo.files("docs/*.md")):
        for name in sorted(set(VARIABLE.findall(path.read_text())) - known):
            yield f"{path.relative_to(repo.root)} uses {name}, which nothing gives"


def outputs_are_used(repo: Repo) -> Iterator[str]:
    """By a hook, a pipeline, the documentation; of a module, by the file above."""
    texts = [path.read_text() for path in [*users(repo), *repo.files("ml/*.py"), *repo.files("docs/*.md")]]
    for name in declared(repo, tree.Output).keys() - FOR_PEOPLE:
        if not any(name in text for text in texts):
            yield f"nothing uses the output {name} of main.bicep"
    files = [refusals.load(path) for path in repo.files("infra/**/*.bicep")]
    for path in repo.files("infra/modules/*.bicep"):
        callers = [
            (file, each.name)
            for file in files
            for each in file.declarations
            if isinstance(each, tree.Module) and Path(each.path).name == path.name
        ]
        read = {
            node.name
            for file, symbol in callers
            for declaration in file.declarations
            for node in tree.walk(declaration)
            if isinstance(node, tree.Member) and _reads(node, symbol)
        }
        for name in sorted(set(declared(repo, tree.Output, f"infra/modules/{path.name}")) - read):
            yield f"nothing reads the output {name} of {path.name}"


def _reads(node: tree.Member, symbol: str) -> bool:
    match node.of:
        case tree.Member(name="outputs", of=tree.Name(name=name)):
            return name == symbol
        case tree.Member(name="outputs", of=tree.Index(of=tree.Name(name=name))):
            return name == symbol
    return False


def nothing_is_declared_for_nothing(repo: Repo) -> Iterator[str]:
    """The compiler only warns of what is not used."""
    found = {each for main in ("main", "events") for each in problems(repo.root / "infra" / f"{main}.bicep")}
    yield from (str(each) for each in sorted(found) if each.kind == "unused")
    known = {path.name for path in repo.files("infra/modules/*")}
    used = {
        Path(each.path).name
        for path in repo.files("infra/**/*.bicep")
        for each in refusals.load(path).declarations
        if isinstance(each, tree.Module)
    }
    yield from (f"infra/modules/{name} is used by nothing" for name in sorted(known - used))


def the_hooks_are_azures(repo: Repo) -> Iterator[str]:
    """azure.yaml's hooks are the steps; its service is what is tagged; its module is there."""
    azure = repo.yaml("azure.yaml")
    steps = repo.module("infra.hooks.__main__").STEPS
    yield from differences("hooks", set(azure["hooks"]), set(steps))
    for name, hook in azure["hooks"].items():
        for system, told in hook.items():
            if f"infra.hooks {name}" not in told["run"]:
                yield f"the hook {name} ({system}) runs {told['run']}"
    tagged = {app(repo.deployed()).body["tags"].get("azd-service-name")}
    yield from differences("services", set(azure["services"]), tagged)
    if not (repo.root / azure["infra"]["path"] / f"{azure['infra']['module']}.bicep").is_file():
        yield f"there is no {azure['infra']['module']}.bicep"


def the_postdeploy_hook_gives_events_bicep_its_parameters(repo: Repo) -> Iterator[str]:
    hook = repo.module("infra.hooks.postdeploy")
    wanted = set(declared(repo, tree.Parameter, "infra/events.bicep"))
    yield from differences("parameters of events.bicep", set(hook.PARAMETERS), wanted)
    outputs = declared(repo, tree.Output).keys() | OF_OTHERS
    needed = [*hook.NEEDED, *hook.PARAMETERS.values()]
    yield from (f"postdeploy needs {name}, which nothing gives" for name in needed if name not in outputs)
    if hook.FUNCTION not in repo.functions:
        yield f"postdeploy waits for the function {hook.FUNCTION}"


def the_preprovision_hook_knows_main_bicep(repo: Repo) -> Iterator[str]:
    """What it counts and looks for is what main.bicep makes, what it allows is what main.bicep allows."""
    counted = repo.module("infra.hooks.endpoints")
    for kind, number in counted.EXPECTED.items():
        if len(names(repo.deployed("first"), kind)) != number:
            yield f"preprovision expects {number} {kind}, main.bicep makes {len(names(repo.deployed('first'), kind))}"
    tags = [each.body["tags"] for each in repo.deployed("first").of_type(f"{WORKSPACE}/onlineEndpoints")]
    if not all(tag.get(counted.TAG) == "dev" for tag in tags):
        yield f"the tag {counted.TAG} is not on the endpoints"
    group = repo.module("infra.hooks.resources").group_name("dev")
    if group != repo.deployed().outputs["AZURE_RESOURCE_GROUP"]:
        yield f"the hooks look into {group}"
    forms = repo.module("infra.hooks.parameters").FORMS
    parameters = declared(repo, tree.Parameter)
    yield from (f"preprovision knows {name}" for name in forms if name not in variables(repo).values())
    for name, variable in variables(repo).items():
        allowed = parameters[name].decorator("allowed") if name in parameters else None
        values = [each.parts[0] for each in allowed.arguments[0].items if each.parts] if allowed is not None else []
        yield from (f"preprovision refuses {variable}={v}" for v in values if variable in forms and forms[variable](v))


def commands_name_modules_that_exist(repo: Repo) -> Iterator[str]:
    for path in users(repo):
        for module in re.findall(r"infra/start\.py (\w+(?:\.\w+)+)", path.read_text()):
            file = repo.root / Path(*module.split("."))
            if not file.with_suffix(".py").is_file() and not (file / "__main__.py").is_file():
                yield f"{path.relative_to(repo.root)} runs {module}, which does not exist"


CHECKS = (
    parameters_are_main_bicep_s,
    azds_defaults_are_main_bicep_s,
    variables_that_are_used_exist,
    outputs_are_used,
    nothing_is_declared_for_nothing,
    the_hooks_are_azures,
    the_postdeploy_hook_gives_events_bicep_its_parameters,
    the_preprovision_hook_knows_main_bicep,
    commands_name_modules_that_exist,
)
