"""From the landed files to the silver folder: the shipped pipeline JSON, rules and component contracts at work."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.faults import AcceptThen, Drop
from tests.scenarios.chain import (
    EXITS_WITH_3,
    ONE_ATTEMPT,
    PIPELINE,
    PREP_ARGUMENTS,
    RULES,
    SCORE,
    SCORE_ARGUMENTS,
    WAITS,
    Chain,
    ChainOf,
    first_attempt_only,
    literals,
    shown_jobs,
)
from tests.scenarios.stage import Stage
from tests.unit.test_adf_pipelines import named, problems

pytestmark = pytest.mark.cloud
NUMBERS = itertools.count()


@pytest.fixture
def chain(stage_with: Callable[..., Stage]) -> Iterator[ChainOf]:
    made: list[Chain] = []

    def make(*, rules: str = ONE_ATTEMPT, pipeline: Any = PIPELINE, **options: Any) -> Chain:
        settings = {"DIABETES_ENDPOINT": f"ep-score-{next(NUMBERS)}", "DIABETES_OVERNIGHT": "0 2 * * *"}
        stage = stage_with(rules=rules, pipelines=(pipeline,), extra_settings=settings)
        made.append(Chain(stage, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


# --- what must be so; the planted faults below are held against the same checks ---------------------------------------


def scores_the_batch(make: ChainOf, **options: Any) -> None:
    chain = make(**options)
    chain.land()
    reaction = chain.reaction_ends()
    assert (reaction["state"], reaction["event_count"]) == ("succeeded", 2)
    folder = f"diabetes/b1/{reaction['id']}-1"
    assert chain.blobs("1-bronze") == [f"1-bronze/{folder}/diabetes.csv"]
    assert chain.blobs("2-silver") == [f"2-silver/{folder}/diabetes.csv"]
    assert chain.read(f"2-silver/{folder}/diabetes.csv").splitlines() == [
        "Id,Age,BMI,Diabetes",
        "1,30,21.5,0",
        "2,60,30.1,1",
    ]
    prep, score = chain.jobs()
    assert (prep.submission.endpoint, score.submission.endpoint) == tuple(chain.endpoints.values())
    for job in (prep, score):
        assert literals(job) == {"reaction_id": reaction["id"], "attempt": "1"}
        [step] = job.steps
        assert step.exit_code == 0
        argv = dict(zip(step.argv[2::2], step.argv[3::2], strict=True))
        assert (argv["--reaction-id"], argv["--attempt"]) == (reaction["id"], "1")
    assert [(each["name"], each["status"]) for each in reaction["run"]["jobs"]] == shown_jobs(chain)
    # The model that was live at the start, by the address that its version has in the workspace.
    assert [(used["name"], used["version"]) for used in reaction["lineage"]["models_used"]] == [(chain.model, "1")]


def a_cancelled_job_ends_the_run(make: ChainOf, **options: Any) -> None:
    chain = make(prep=PREP_ARGUMENTS + WAITS, **options)
    chain.land()
    job = chain.cancel_when_running("prep")
    reaction = chain.reaction_ends()
    assert reaction["state"] == "failed"
    assert f"The prep job {job.name} is Canceled, not Completed." in reaction["reason"]
    assert chain.jobs("score") == []


def a_lost_answer_starts_no_second_job(make: ChainOf, **options: Any) -> None:
    chain = make(**options)
    path = f"*/batch/{chain.endpoints['prep']}/jobs"
    chain.stage.cloud.machine_learning.faults.add(method="POST", path=path, action=AcceptThen(Drop()))
    chain.land()
    reaction = chain.reaction_ends()
    assert len(chain.jobs("prep")) == 1
    assert reaction["state"] == "failed"
    assert "StartPrep" in chain.activities()
    assert chain.jobs("score") == []


# --- the shipped pipeline ---------------------------------------------------------------------------------------------


def test_a_batch_is_scored_into_folders_of_its_own(chain: ChainOf) -> None:
    scores_the_batch(chain)


def test_the_jobs_are_told_with_the_address_they_were_asked_at(chain: ChainOf) -> None:
    made = chain()
    made.land()
    reaction = made.reaction_ends()
    run = reaction["run"]
    assert reaction["lineage"]["jobs"] == run["jobs"]
    for told, job in zip(run["jobs"], made.jobs(), strict=True):
        uri = made.stage.cloud.machine_learning.scoring_uri(job.submission.endpoint)
        assert told == {"run_id": run["id"], "name": job.name, "url": f"{uri}/{job.name}", "status": "Completed"}


@pytest.mark.parametrize(
    ("failing", "codes"),
    [
        ("prep", {"prep": PREP_ARGUMENTS + EXITS_WITH_3}),
        ("score", {"score": SCORE_ARGUMENTS + EXITS_WITH_3}),
    ],
)
def test_a_component_that_exits_with_3_fails_the_run_and_the_reaction(
    chain: ChainOf, failing: str, codes: dict[str, str]
) -> None:
    made = chain(**codes)
    made.land()
    assert made.last_run_ends().status.value == "Failed"
    reaction = made.reaction_ends()
    [job] = made.jobs(failing)
    assert (str(job.status), [step.exit_code for step in job.steps]) == ("Failed", [3])
    assert (reaction["state"], reaction["attempt"]) == ("failed", 1)
    assert f"The {failing} job {job.name} is Failed, not Completed." in reaction["reason"]
    assert [(each["name"], each["status"]) for each in reaction["run"]["jobs"]] == shown_jobs(made)
    assert made.blobs("2-silver") == []
    if failing == "prep":
        assert made.jobs("score") == []
        assert made.activities()["StartScore"] == "Skipped"
        assert made.blobs("1-bronze") == []


def test_a_failed_run_is_tried_again_where_the_rule_says_so(chain: ChainOf) -> None:
    made = chain(rules=RULES, score=SCORE_ARGUMENTS + first_attempt_only(EXITS_WITH_3) + SCORE)
    made.land()
    made.last_run_ends()
    made.stage.settle(lambda: len(made.stage.factory.runs()) == 2)
    reaction = made.reaction_ends()
    assert (reaction["state"], reaction["attempt"]) == ("succeeded", 2)
    first, second = made.jobs("score")
    assert [literals(job)["attempt"] for job in made.jobs()] == ["1", "1", "2", "2"]
    assert any(f"The score job {first.name} is Failed" in entry["reason"] for entry in reaction["history"])
    # Each attempt has folders of its own, and the reaction names the jobs of both.
    folders = [f"diabetes/b1/{reaction['id']}-{attempt}" for attempt in (1, 2)]
    assert made.blobs("1-bronze") == [f"1-bronze/{folder}/diabetes.csv" for folder in folders]
    assert made.blobs("2-silver") == [f"2-silver/{folders[1]}/diabetes.csv"]
    assert [(each["name"], each["status"]) for each in reaction["run"]["jobs"]] == shown_jobs(made)
    assert len({each["run_id"] for each in reaction["run"]["jobs"]}) == 2
    assert str(second.status) == "Completed"


def test_a_cancelled_prep_job_ends_the_run(chain: ChainOf) -> None:
    a_cancelled_job_ends_the_run(chain)


def test_a_cancelled_score_job_ends_the_run(chain: ChainOf) -> None:
    made = chain(score=SCORE_ARGUMENTS + WAITS)
    made.land()
    job = made.cancel_when_running("score")
    reaction = made.reaction_ends()
    assert (made.stage.factory.runs()[0].status.value, reaction["state"]) == ("Failed", "failed")
    assert f"The score job {job.name} is Canceled, not Completed." in reaction["reason"]
    assert [each["status"] for each in reaction["run"]["jobs"]] == ["Completed", "Canceled"]


def test_a_start_of_a_job_whose_answer_is_lost_is_not_repeated(chain: ChainOf) -> None:
    a_lost_answer_starts_no_second_job(chain)


def test_jobs_the_factory_does_not_tell_are_unknown_and_the_reaction_ends(chain: ChainOf) -> None:
    made = chain()
    path = f"*/factories/{made.stage.factory_name}/pipelineruns/*/queryactivityruns"
    made.stage.cloud.data_factory.faults.add(path=path, action=Drop())
    made.land()
    reaction = made.reaction_ends()
    assert reaction["state"] == "succeeded"
    [told] = reaction["run"]["jobs"]
    assert told == {"run_id": reaction["run"]["id"], "name": None, "url": None, "status": "unknown"}


# --- planted faults: each is seen in the file, and in what it does ----------------------------------------------------


def misspell_the_poll(document: Any) -> None:
    value = named(document, "KeepPrepStatus")["typeProperties"]["value"]
    value["value"] = "@activity('CheckPrep').output.properties.state"


def misspell_the_condition(document: Any) -> None:
    expression = named(document, "WaitForScore")["typeProperties"]["expression"]
    expression["value"] = expression["value"].replace("'Completed'", "'Complete'")


def forget_canceled(document: Any) -> None:
    expression = named(document, "WaitForPrep")["typeProperties"]["expression"]
    expression["value"] = expression["value"].replace(", 'Canceled'", "")


def retry_the_start(document: Any) -> None:
    named(document, "StartPrep")["policy"].update(retry=1, retryIntervalInSeconds=1)


def drop_reaction_id(document: Any) -> None:
    del named(document, "StartScore")["typeProperties"]["body"]["properties"]["InputData"]["reaction_id"]


def fix_the_attempt(document: Any) -> None:
    named(document, "StartPrep")["typeProperties"]["body"]["properties"]["InputData"]["attempt"]["Value"] = "7"


def go_on_after_a_failure(document: Any) -> None:
    named(document, "RequirePrep")["typeProperties"]["ifTrueActivities"] = []


STUCK = "is still InProgress"
PLANTED: dict[Callable[[Any], None], tuple[str, Callable[..., None], str]] = {
    misspell_the_poll: (
        "WaitForPrep does not look at what its poll answers",
        scores_the_batch,
        STUCK,
    ),
    misspell_the_condition: ("WaitForScore does not end on Completed", scores_the_batch, STUCK),
    forget_canceled: (
        "WaitForPrep does not end on Canceled",
        a_cancelled_job_ends_the_run,
        STUCK,
    ),
    retry_the_start: ("StartPrep must not be retried", a_lost_answer_starts_no_second_job, "assert 2 == 1"),
    drop_reaction_id: ("StartScore must pass reaction_id on", scores_the_batch, "'failed'"),
    fix_the_attempt: ("StartPrep must pass attempt on", scores_the_batch, "'7'"),
    go_on_after_a_failure: (
        "WaitForPrep has no Fail behind it",
        a_cancelled_job_ends_the_run,
        "The score job .* is Failed",
    ),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_noticed(chain: ChainOf, plant: Callable[[Any], None]) -> None:
    said, check, seen = PLANTED[plant]
    document = copy.deepcopy(PIPELINE)
    assert list(problems(document)) == []
    plant(document)
    assert any(said in problem for problem in problems(document))
    with pytest.raises((AssertionError, TimeoutError), match=seen):
        check(chain, pipeline=document, seconds=4 if seen == STUCK else 6)
