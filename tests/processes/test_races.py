"""Four app processes race for the same things, and every limit holds at every instant.

All three races run at once on one storage account: for a lane, for a resource of three permits, for an endpoint. What
is looked at is what the factory and the workspace wrote down, blobs and rows, never what the app says of itself.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from azure.core.credentials import TokenCredential

from local.cloud import LocalCloud
from local.data_factory.runs import Run
from local.event_grid.envelopes import Published
from local.machine_learning.events import model_registered
from local.machine_learning.online.bodies import EndpointBody
from local.machine_learning.online.directory import Standing
from local.progress import AfterPolls
from local.service import REGION, now, workspace_id
from shared.models import ModelRef, deployment_name
from tests.processes.evidence import FINAL, Evidence, most_at_once
from tests.processes.fleet import Fleet, Ground, pipeline
from tests.processes.waiting import wait_until

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(300)]

PROCESSES = 4
THREADS = 32
PERMITS = 3
LANES = 4
FILES_OF_A_LANE = 12
WAITING_LANES = 9
VERSIONS = ("1", "2", "3")
SECONDS = 180.0

RULES = f"""\
version: 1
resources: {{pool: {PERMITS}}}
reactions:
  one-lane:
    when: {{file-landed: {{path: "lake/lane/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}"}}
    run-pipeline: one-lane
    with: {{batch: "{{batch}}", files: "{{manifest}}"}}
    limits: {{start-rate: unlimited}}
  three-permits:
    when: {{file-landed: {{path: "lake/pool/{{batch}}/*.csv"}}}}
    collect: {{by: "{{batch}}"}}
    run-pipeline: three-permits
    with: {{batch: "{{batch}}", files: "{{manifest}}"}}
    limits: {{start-rate: unlimited, resources: [pool]}}
  one-endpoint:
    when: {{model-registered: {{model: "${{MODEL}}", tags: {{stage: candidate}}}}}}
    deploy-model:
      endpoint: "${{ENDPOINT}}"
      smoke-test: ml/samples/diabetes-request.json
      serving: {{code: "azureml:race-serving:1", environment: "azureml:race-env:1"}}
      keep-previous: 5s
    limits: {{start-rate: unlimited}}
"""


@dataclass(frozen=True, kw_only=True)
class Race:
    """All three races. `over`: whether they came to their end in time."""

    evidence: Evidence
    paths: frozenset[str]
    answers: list[int]
    standings: list[Standing]
    pids: frozenset[int]
    over: bool

    def runs(self, pipeline: str) -> list[Run]:
        return [run for run in self.evidence.runs() if run.pipeline == pipeline]


@pytest.fixture(scope="module")
def race(cloud: LocalCloud, credential: TokenCredential, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    unique = uuid.uuid4().hex[:10]
    endpoint, model = f"ep-{unique}", f"clf-{unique}"
    ground = Ground(
        cloud=cloud,
        credential=credential,
        folder=tmp_path_factory.mktemp("races"),
        rules=RULES,
        pipelines=[pipeline("one-lane"), pipeline("three-permits")],
        extra_settings={"ENDPOINT": endpoint, "MODEL": model},
    )
    ground.factory.progress.set(AfterPolls(0))
    lanes = [f"lane/b{n % LANES}/{n}.csv" for n in range(LANES * FILES_OF_A_LANE)]
    waiting = [f"pool/b{n}/a.csv" for n in range(WAITING_LANES)]
    landed = ground.land([*lanes, *waiting])
    models = _models(cloud, ground, endpoint, model)
    evidence = ground.evidence()
    with Fleet(ground, PROCESSES) as fleet:
        pids = frozenset(fleet.pids)
        with ThreadPoolExecutor(3) as pool:
            # First what has three permits: as many as possible ask before the first of them is granted.
            begun = [
                pool.submit(fleet.deliver_to_all, [landed[path] for path in waiting], THREADS, 1),
                pool.submit(fleet.deliver_to_all, models, THREADS, 2),
                pool.submit(fleet.deliver_to_all, [landed[path] for path in lanes], THREADS, 3),
            ]
        answers = [status for delivered in begun for status in delivered.result()]
        over = wait_until(lambda: _over(evidence), time.monotonic() + SECONDS)
    # What was exceeded is told even where the races never came to their end.
    standings = [each for each in cloud.machine_learning.online.directory.standings if each.endpoint == endpoint]
    yield Race(evidence=evidence, paths=frozenset(landed), answers=answers, standings=standings, pids=pids, over=over)
    evidence.close()
    cloud.machine_learning.reset()


def _models(cloud: LocalCloud, ground: Ground, endpoint: str, model: str) -> list[str]:
    """An endpoint, and the events of versions that are registered at once; making a deployment takes some polls."""
    workspace = cloud.machine_learning
    folder = ground.folder / "serving"
    folder.mkdir()
    (folder / "score.py").write_text("")
    workspace.registry.add_code("race-serving", "1", folder)
    workspace.registry.add_environment("race-env", "1")
    workspace.online.creations.set(AfterPolls(1), endpoint)
    workspace.online.updates.set(AfterPolls(1), endpoint)
    workspace.online.deletions.set(AfterPolls(1), endpoint)
    body = {"location": REGION, "properties": {"authMode": "Key"}}
    workspace.online.endpoints.put(endpoint, EndpointBody.read(body))
    events = []
    for version in VERSIONS:
        made = workspace.registry.register(
            model,
            version,
            uri=f"azureml://datastores/lake/paths/models/{model}/{version}",
            tags={"stage": "candidate"},
            created=now(),
            announce=False,
        )
        event = model_registered(
            name=model, version=version, tags=made.tags, properties=made.properties, time=made.created
        )
        events.append(json.dumps(Published(topic=workspace_id(), event=event).envelope("EventGridSchema")))
    return events


def _over(evidence: Evidence) -> bool:
    """Every run has ended, no event is pending, every reaction is final."""
    if not all(run.is_final for run in evidence.runs()) or evidence.pending_events():
        return False
    states = evidence.reactions()
    return bool(states) and states.keys() <= FINAL


def test_four_processes_took_every_delivery_and_came_to_an_end(race: Race) -> None:
    assert len(race.pids) == PROCESSES
    assert race.over, race.evidence.reactions()
    assert Counter(race.answers) == {202: PROCESSES * (len(race.paths) + len(VERSIONS))}


def test_every_event_is_in_one_manifest_and_no_start_was_sent_twice(race: Race) -> None:
    manifests = race.evidence.manifests()
    told = Counter(version for manifest in manifests for version in manifest.versions)
    assert set(told) == race.evidence.files()
    assert {path for path, _ in told} == race.paths
    assert set(told.values()) == {1}
    assert race.evidence.duplicate_starts() == 0
    assert {start.reaction for start in race.evidence.starts()} == {manifest.reaction for manifest in manifests}


def test_a_lane_never_runs_twice(race: Race) -> None:
    lanes = [[run for run in race.runs("one-lane") if run.parameters["batch"] == f"b{n}"] for n in range(LANES)]
    assert all(len(lane) >= 2 for lane in lanes), "each lane was claimed more than once"
    assert [most_at_once((run.start, run.end) for run in lane) for lane in lanes] == [1] * LANES
    assert most_at_once((run.start, run.end) for run in race.runs("one-lane")) > 1, "lanes run beside each other"


def test_three_permits_are_three_runs(race: Race) -> None:
    assert len(race.runs("three-permits")) == WAITING_LANES
    assert most_at_once((run.start, run.end) for run in race.runs("three-permits")) == PERMITS


def test_an_endpoint_has_one_rollout_at_a_time_and_all_traffic_or_none(race: Race) -> None:
    assert {sum(standing.traffic.values()) for standing in race.standings} == {0, 100}
    assert {share for standing in race.standings for share in standing.traffic.values()} == {100}
    making = [[name for name, state in each.deployments.items() if not state.is_final] for each in race.standings]
    assert max(len(names) for names in making) == 1
    assert max(len(standing.deployments) for standing in race.standings) <= 2
    [live] = race.standings[-1].traffic
    assert live == deployment_name(ModelRef(name=live_model(race), version=VERSIONS[-1]))


def live_model(race: Race) -> str:
    return race.standings[-1].endpoint.replace("ep-", "clf-")
