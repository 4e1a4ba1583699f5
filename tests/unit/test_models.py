"""Models and the gate: names that AML takes, references in every spelling, and figures judged as they are written."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models import Deployment, Endpoint, ModelRef, Provisioning, deployment_name
from shared.rollouts.gate import judge
from shared.rollouts.smoke import Answer, unclear
from shared.rollouts.smoke import judge as judge_answer
from shared.rules import Gate

NAME = re.compile(r"(?=.{3,32}$)[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
LIVE = ModelRef(name="clf", version="7")


@given(st.text(min_size=1, max_size=255), st.text(min_size=1, max_size=30))
def test_every_version_has_a_name_that_aml_takes(name: str, version: str) -> None:
    made = deployment_name(ModelRef(name=name, version=version))
    assert NAME.fullmatch(made), made
    assert made == deployment_name(ModelRef(name=name, version=version))


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("diabetes-classifier", "3", "diabetes-classif-3-"),
        ("Diabetes_Classifier", "3", "diabetes-classif-3-"),
        ("churn", "2026-11-22.1", "churn-2026-11-"),
        ("3d-model", "1", "m-3d-model-1-"),
        ("糖尿病", "1", "m-1-"),
        ("a" * 255, "9" * 30, "a" * 16 + "-" + "9" * 8 + "-"),
    ],
)
def test_names_can_be_read(name: str, version: str, expected: str) -> None:
    made = deployment_name(ModelRef(name=name, version=version))
    assert re.fullmatch(re.escape(expected) + "[0-9a-f]{4}", made), made


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a_b", "1"), ("a-b", "1")), (("a", "1-1"), ("a-1", "1")), (("x" * 17, "1"), ("x" * 16, "1"))],
)
def test_different_versions_have_different_names(one: tuple[str, str], other: tuple[str, str]) -> None:
    made = {deployment_name(ModelRef(name=name, version=version)) for name, version in (one, other)}
    assert len(made) == 2


ARM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("azureml:clf:7", LIVE),
        (f"{ARM}/models/clf/versions/7", LIVE),
        (f"azureml:{ARM}/models/clf/versions/7", LIVE),
        (f"azureml:{ARM}/MODELS/clf/Versions/7", LIVE),
        ("azureml://registries/r/models/clf/versions/7", LIVE),
        ("", None),
        ("azureml:clf", None),
        ("azureml://datastores/lake/paths/models/clf/1", None),
        (f"{ARM}/models/clf", None),
    ],
)
def test_references_are_understood_in_every_spelling(text: str, expected: ModelRef | None) -> None:
    assert ModelRef.parse(text) == expected


def endpoint(**traffic: int) -> Endpoint:
    deployments = tuple(
        Deployment(name=name, model=None, provisioning=Provisioning.SUCCEEDED) for name in ("blue", "Green")
    )
    return Endpoint(
        name="e",
        provisioning=Provisioning.SUCCEEDED,
        auth_mode="Key",
        scoring_uri=None,
        traffic=traffic,
        deployments=deployments,
    )


@pytest.mark.parametrize(
    ("traffic", "expected"),
    [({}, None), ({"blue": 100}, "blue"), ({"blue": 10, "green": 90}, "Green"), ({"gone": 100}, None)],
)
def test_what_has_most_traffic_is_live(traffic: dict[str, int], expected: str | None) -> None:
    live = endpoint(**traffic).live
    assert (live.name if live is not None else None) == expected


@pytest.mark.parametrize("name", ["green", "Green", "GREEN"])
def test_a_deployments_name_counts_in_any_letter_case(name: str) -> None:
    found = endpoint(green=30, blue=70).deployment(name)
    assert found is not None
    assert (found.name, endpoint(green=30, blue=70).share(name)) == ("Green", 30)
    assert endpoint().deployment("gre") is None


# --- the gate ---------------------------------------------------------------------------------------------------------

FIGURES = st.decimals(0, 1, places=4)


@given(FIGURES, FIGURES, FIGURES)
def test_a_candidate_passes_exactly_if_it_gains_enough(mine: Decimal, theirs: Decimal, by: Decimal) -> None:
    properties = {"Accuracy": str(mine), "live.Accuracy": str(theirs), "live.version": "7"}
    verdict = judge(Gate(metric="Accuracy", by=by), properties, LIVE)
    assert verdict.passed is (mine - theirs >= by and mine > theirs)


def test_without_a_margin_the_same_is_not_better() -> None:
    properties = {"Accuracy": "0.8", "live.Accuracy": "0.80", "live.version": "7"}
    assert judge(Gate(metric="Accuracy"), properties, LIVE).passed is False


def test_the_first_model_passes_whatever_its_figures() -> None:
    verdict = judge(Gate(metric="Accuracy", by=Decimal("0.002")), {}, None)
    assert (verdict.passed, verdict.reason.startswith("first-model")) == (True, True)


def test_a_rule_without_a_gate_lets_every_model_pass() -> None:
    assert judge(None, {}, LIVE).passed is True


@pytest.mark.parametrize(
    "figure", ["", " ", "Infinity", "NaN", "sNaN", "0,8", "1e", "-", "1e999999999", "1e999999", "-1e99", "9" * 4000]
)
@pytest.mark.parametrize("name", ["Accuracy", "live.Accuracy"])
def test_what_is_no_figure_is_refused(name: str, figure: str) -> None:
    properties = {"Accuracy": "0.9", "live.Accuracy": "0.8", "live.version": "7", name: figure}
    assert judge(Gate(metric="Accuracy"), properties, LIVE).passed is False


def test_a_very_small_figure_is_one() -> None:
    properties = {"Loss": "1e-7", "live.Loss": "1e-999999999", "live.version": "7"}
    assert judge(Gate(metric="Loss"), properties, LIVE).passed is True


# --- the smoke test ---------------------------------------------------------------------------------------------------


@given(st.integers(100, 599), st.text(max_size=20), st.text(max_size=50))
def test_no_answer_makes_the_judgement_fail(status: int, deployment: str, body: str) -> None:
    answer = Answer(status=status, deployment=deployment, body=body, seconds=0.1)
    verdict = judge_answer('{"data": [1]}', "green", answer)
    assert verdict.passed is False or (status == 200 and deployment.lower() == "green")
    assert isinstance(unclear(answer), bool)


def test_an_answer_that_is_nested_without_end_is_none() -> None:
    answer = Answer(status=200, deployment="green", body="[" * 100_000, seconds=0.1)
    assert judge_answer('{"data": [1]}', "green", answer).passed is False
