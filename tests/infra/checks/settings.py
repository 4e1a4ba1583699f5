"""The function app's settings: what the product reads is what Bicep sets and what the sample names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.infra.bicep import Deployment, Resource
from tests.infra.checks.repo import Repo, differences, strings

SITE = "Microsoft.Web/sites"
# Refused or without meaning on Flex Consumption, where functionAppConfig says it or nothing does; and what would be a
# secret, or beat the identity.
FORBIDDEN = {
    "AzureWebJobsDashboard", "AzureWebJobsStorage", "APPINSIGHTS_INSTRUMENTATIONKEY", "ENABLE_ORYX_BUILD",
    # The platform's word that it authenticates: set by hand, it would have the app believe anybody.
    "WEBSITE_AUTH_ENABLED",
    "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_MAX_HTTP_CONCURRENCY", "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION", "RelearnStorage", "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "TZ", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_CONTENTOVERVNET", "WEBSITE_CONTENTSHARE",
    "WEBSITE_DNS_SERVER", "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT", "WEBSITE_NODE_DEFAULT_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_SKIP_CONTENTSHARE_VALIDATION", "WEBSITE_TIME_ZONE", "WEBSITE_VNET_ROUTE_ALL",
}  # fmt: skip
FORBIDDEN_SITE = {
    "alwaysOn",
    "functionAppScaleLimit",
    "linuxFxVersion",
    "minimumElasticInstanceCount",
    "netFrameworkVersion",
}
SECRET = re.compile(
    r"(Account|SharedAccess)Key=|SharedAccessSignature|[?&;]sig=|password|\blist[A-Z]\w*\(", re.IGNORECASE
)


def app(deployment: Deployment) -> Resource:
    [site] = deployment.of_type(SITE)
    return site


def app_settings(deployment: Deployment) -> dict[str, str]:
    return {each["name"]: each["value"] for each in app(deployment).properties["siteConfig"]["appSettings"]}


def delivery(deployment: Deployment) -> str:
    found: str = deployment.outputs["RELEARN_EVENT_DELIVERY"]
    return found


def host_names(repo: Repo, *places: str, when: str | None = None) -> set[str]:
    return {
        each["name"]
        for each in repo.json("infra/host-settings.json")["settings"]
        if each["place"] in places and (when is None or each.get("when", when) == when)
    }


def settings_are_those_that_are_read(repo: Repo) -> Iterator[str]:
    """In each way of delivery, the app has the product's settings and the host's table, nothing else."""
    for variant in ("default", "queue", "isolated", "existing"):
        deployment = repo.deployed(variant)
        host = host_names(repo, "bicep", "both", when=delivery(deployment))
        yield from differences(f"app settings ({variant})", set(app_settings(deployment)) - host, repo.settings_read)
        yield from (f"{name} is the host's and the product's" for name in sorted(host & repo.settings_read))
        yield from (f"{name} of the host's table is not set" for name in sorted(host - app_settings(deployment).keys()))


def the_sample_names_the_same_settings(repo: Repo) -> Iterator[str]:
    sample = set(repo.json("local.settings.sample.json")["Values"])
    yield from differences("sample", sample, repo.settings_read | host_names(repo, "sample", "both"))


def the_product_takes_what_is_set(repo: Repo) -> Iterator[str]:
    """The values themselves: addresses and ids that shared/settings.py accepts."""
    for variant in ("default", "existing", "others"):
        values = app_settings(repo.deployed(variant))
        try:
            found = repo.settings.from_environment(values)
        except Exception as problem:  # noqa: BLE001 – the copy has a ConfigurationError of its own
            yield f"{variant}: {problem}"
            continue
        yield from differences(
            f"accounts ({variant})", set(found.lake_accounts), {repo.deployed(variant).outputs["RELEARN_LAKE_ACCOUNT"]}
        )


def the_hosts_table_gives_reasons(repo: Repo) -> Iterator[str]:
    names = [each["name"] for each in repo.json("infra/host-settings.json")["settings"]]
    yield from (f"{name} is there twice" for name in sorted({name for name in names if names.count(name) > 1}))
    for each in repo.json("infra/host-settings.json")["settings"]:
        if not each.get("reason"):
            yield f"{each['name']} has no reason"
        if each.get("place") not in ("bicep", "sample", "both"):
            yield f"{each['name']} has no place"
        if ("value" in each) == ("valueFrom" in each):
            yield f"{each['name']} has a value or is told where it comes from, not both"
        disabled = re.fullmatch(r"AzureWebJobs\.(\w+)\.Disabled", each["name"])
        if disabled and disabled[1] not in repo.functions:
            yield f"{each['name']}: there is no function {disabled[1]}"


def no_setting_is_forbidden(repo: Repo) -> Iterator[str]:
    for variant in ("default", "queue"):
        names = [each["name"] for each in app(repo.deployed(variant)).properties["siteConfig"]["appSettings"]]
        lower = [name.lower() for name in names]
        yield from (f"{name} is set twice" for name in names if lower.count(name.lower()) > 1)
        yield from (f"{name} cannot be set" for name in sorted(set(names) & FORBIDDEN))
        site = app(repo.deployed(variant)).properties["siteConfig"]
        yield from (f"siteConfig.{name} has no meaning here" for name in sorted(site.keys() & FORBIDDEN_SITE))


def no_value_is_a_secret(repo: Repo) -> Iterator[str]:
    """Anywhere in what is deployed or handed out, not only in the settings: nothing is asked for its keys."""
    for variant in ("default", "isolated", "existing"):
        deployment = repo.deployed(variant)
        for resource in deployment.resources:
            yield from (
                f"{resource.file}: {resource.symbol} contains {text!r}"
                for text in strings(resource.body.get("properties", {}))
                if SECRET.search(text)
            )
        for module in (deployment, *deployment.all_modules):
            yield from (f"{module.file} gives out {text!r}" for text in strings(module.outputs) if SECRET.search(text))


def triggers_have_their_connection(repo: Repo) -> Iterator[str]:
    """A binding's connection is a prefix of settings: the service's address, and whose identity."""
    names = app_settings(repo.deployed("queue"))
    for name, told in repo.functions.items():
        if "connection" in told:
            for part in ("queueServiceUri", "credential", "clientId"):
                if f"{told['connection']}__{part}" not in names:
                    yield f"{name} needs the setting {told['connection']}__{part}"


def the_runtime_is_one_that_the_project_supports(repo: Repo) -> Iterator[str]:
    low, high = re.findall(r"3\.(\d+)", repo.text("pyproject.toml").partition("requires-python")[2].partition("\n")[0])
    for variant in ("default", "others"):
        runtime = app(repo.deployed(variant)).properties["functionAppConfig"]["runtime"]
        minor = int(runtime["version"].partition(".")[2])
        if runtime["name"] != "python" or not int(low) <= minor < int(high):
            yield f"{variant}: the runtime is {runtime['name']} {runtime['version']}"


CHECKS = (
    settings_are_those_that_are_read,
    the_sample_names_the_same_settings,
    the_product_takes_what_is_set,
    the_hosts_table_gives_reasons,
    no_setting_is_forbidden,
    no_value_is_a_secret,
    triggers_have_their_connection,
    the_runtime_is_one_that_the_project_supports,
)
