"""The network of an isolated environment: every way docs/network.md tells of is made, and no other."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.infra.bicep import Deployment, deploy

ROOT = Path(__file__).resolve().parents[2]
ISOLATED = {"environmentName": "try", "location": "westeurope", "networkIsolation": True, "createEndpoints": True}


def isolated(infra: Path) -> Deployment:
    return deploy(infra / "main.bicep", ISOLATED)


def problems(made: Deployment, page: str) -> list[str]:
    zones = {zone.name for zone in made.of_type("Microsoft.Network/privateDnsZones")}
    linked = {
        link.id.split("/")[-3]
        for link in made.of_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks")
        if link.body["properties"]["registrationEnabled"] is False
    }
    named = {
        config["properties"]["privateDnsZoneId"].rpartition("/")[2]
        for group in made.of_type("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
        for config in group.body["properties"]["privateDnsZoneConfigs"]
    }
    endpoints = {each.name.removeprefix("pe-") for each in made.of_type("Microsoft.Network/privateEndpoints")}
    of_others = [
        *made.of_type("Microsoft.MachineLearningServices/workspaces/outboundRules"),
        *made.of_type("Microsoft.DataFactory/factories/managedVirtualNetworks/managedPrivateEndpoints"),
    ]
    told = told_ways(page)
    ways = endpoints | {each.id.rpartition("/")[2] for each in of_others}
    return [
        *(f"{zone} is in the network and no endpoint has a name in it" for zone in sorted(zones - named)),
        *(f"{zone} has names and the network does not look there" for zone in sorted(named - (zones & linked))),
        *(f"the page does not tell of {way}" for way in sorted(ways - told)),
        *(f"the page tells of {way}, which is not made" for way in sorted(told - ways)),
    ]


def told_ways(page: str) -> set[str]:
    """The endpoints and rules that the table names: `…` after the word for them."""
    table = page[page.index("## Every way") : page.index("## What may pass")]
    named = re.findall(r"(?:endpoints?|rules?) ((?:`[a-z-]+`(?:, | and )?)+)", table)
    return {name for names in named for name in re.findall(r"`([a-z-]+)`", names)}


@pytest.fixture(scope="module")
def made() -> Deployment:
    return isolated(ROOT / "infra")


def page() -> str:
    return (ROOT / "docs" / "network.md").read_text()


def test_every_way_is_told_and_has_names(made: Deployment) -> None:
    assert problems(made, page()) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("infra/main.bicep", "name: 'lake-dfs', resourceId", "name: 'lake-files', resourceId", "tell of lake-files"),
        ("infra/modules/workspace-outbound.bicep", "'manifests-blob'", "'manifests'", "manifests-blob, which is not"),
        ("infra/main.bicep", "'privatelink.azurecr.io'", "'privatelink.notebooks.azure.net'", "azurecr.io is in"),
        ("docs/network.md", "endpoint `events-topic`", "endpoint `topic`", "the page does not tell of events-topic"),
    ],
)  # fmt: skip
def test_an_edit_on_one_side_is_noticed(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    found = problems(isolated(tmp_path / "infra"), (tmp_path / "docs" / "network.md").read_text())
    assert any(said in problem for problem in found), found


def test_a_zone_that_is_not_made_stops_the_deployment(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "infra" / "modules" / "virtual-network.bicep"
    file.write_text(file.read_text().replace("  'privatelink.eventgrid.azure.net'\n", ""))
    with pytest.raises(Exception, match=r"privatelink\.eventgrid\.azure\.net"):
        isolated(tmp_path / "infra")


# --- what may pass ----------------------------------------------------------------------------------------------------


def test_the_apps_subnet_is_what_flex_consumption_asks_for(made: Deployment) -> None:
    [network] = made.of_type("Microsoft.Network/virtualNetworks")
    app, endpoints = network.body["properties"]["subnets"]
    [delegation] = app["properties"]["delegations"]
    assert delegation["properties"]["serviceName"] == "Microsoft.App/environments"
    assert int(app["properties"]["addressPrefix"].rpartition("/")[2]) <= 27
    assert app["properties"]["natGateway"]
    assert not any(subnet["properties"]["defaultOutboundAccess"] for subnet in (app, endpoints))
    assert endpoints["properties"]["privateEndpointNetworkPolicies"] == "NetworkSecurityGroupEnabled"


def test_both_subnets_end_in_a_refusal(made: Deployment) -> None:
    groups = {
        each.name.split("-")[1]: [rule["properties"] for rule in each.body["properties"]["securityRules"]]
        for each in made.of_type("Microsoft.Network/networkSecurityGroups")
    }
    for name, direction in {"app": "Outbound", "endpoints": "Inbound"}.items():
        rules = sorted(groups[name], key=lambda rule: rule["priority"])
        assert {rule["direction"] for rule in rules} == {direction}
        assert [rule["access"] for rule in rules][-1] == "Deny"
        assert len({rule["priority"] for rule in rules}) == len(rules)
        assert all(rule["destinationPortRange"] == "443" for rule in rules[:-1])
    tags = {rule["destinationAddressPrefix"] for rule in groups["app"] if rule["access"] == "Allow"}
    table = page()[page().index("## What may pass") : page().index("## What stays public")]
    assert all(f"`{tag}`" in table for tag in tags)


def test_without_isolation_there_is_no_network() -> None:
    made = deploy(ROOT / "infra" / "main.bicep", {**ISOLATED, "networkIsolation": False})
    assert [each.type for each in made.resources if each.type.startswith("Microsoft.Network/")] == []
