"""Manifests: a batch is written whole, and once; the same cases on the fake and in real blobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from shared.events import event_key
from shared.lanes import PendingEvent, TakenEvent, lane_id
from shared.reactions import PipelineAction, Reaction, State, reaction_id
from shared.rules import Revision
from tests.fakes import T0, landed
from tests.promises.ledgers import Ledger, azurite_ledger, fake_ledger
from tests.world import RULES, rules_of

REVISION = Revision(hash="0123456789ab", modified=T0)


@pytest.fixture(params=["fake", pytest.param("azurite", marks=pytest.mark.cloud)])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "fake":
        yield fake_ledger()
        return
    found = azurite_ledger(request.getfixturevalue("cloud"), request.getfixturevalue("credential"))
    yield found
    found.close()


def reaction() -> Reaction:
    rule = rules_of(RULES).rules["score"]
    action = PipelineAction(
        pipeline="score",
        parameters={},
        timeout=rule.timeout,
        attempts=1,
        backoff=rule.retry.backoff,
        needs_manifest=True,
    )
    return Reaction(
        id=reaction_id(lane_id("score", "b1"), 1),
        rule="score",
        key="b1",
        revision=REVISION.to_text(),
        state=State.PENDING,
        reason="two events",
        action=action,
        created=T0,
        changed=T0,
        events=2,
    )


def taken(*paths: str) -> list[TakenEvent]:
    events = [landed(path) for path in paths]
    return [
        TakenEvent(
            pending=PendingEvent(
                id=event_key(event), rule="score", key="b1", event=event, accepted=T0, revision=REVISION
            ),
            at=T0,
            reaction=1,
        )
        for event in events
    ]


def test_every_event_of_the_batch_is_in_it(ledger: Ledger) -> None:
    paths = [f"in/b1/{number}.csv" for number in range(120)]
    ledger.manifests.write(reaction(), taken(*paths))
    assert ledger.manifest(reaction().id) == Counter((path, "0x1") for path in paths)


def test_the_first_one_stays(ledger: Ledger) -> None:
    assert ledger.manifest(reaction().id) is None
    ledger.manifests.write(reaction(), taken("in/b1/a.csv", "in/b1/b.csv"))
    ledger.manifests.write(reaction(), taken("in/b1/a.csv"))
    assert ledger.manifest(reaction().id) == Counter([("in/b1/a.csv", "0x1"), ("in/b1/b.csv", "0x1")])
