"""Every event once more, and what there is before and after: nothing may be added."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.data.tables import TableClient

from local.azurite import APP_ACCOUNT
from local.demo.expectations import DemoFailed
from local.demo.stage import Stage
from local.story import FINAL
from local.system import ENDPOINT, MODEL, LocalSystem

DELIVERY_SECONDS = 120.0
QUIET_SECONDS = 10


def everything_comes_twice(stage: Stage) -> None:
    """Delivers every event again under its id, now that its reaction has ended."""
    events, story = stage.system.cloud.event_grid, stage.story
    events.wait_idle(DELIVERY_SECONDS)
    _until_nothing_is_due(stage.system)
    before = _there_is(stage)
    ids = list(dict.fromkeys(attempt.event_id for attempt in events.deliveries))
    story.tell("again", f"all {len(ids)} events are delivered a second time, with the same ids")
    for event_id in ids:
        events.redeliver(event_id)
    events.wait_idle(DELIVERY_SECONDS)
    _until_nothing_is_due(stage.system)
    story.until(lambda found: all(r["state"] in FINAL for r in found), 60, "the second deliveries to be looked at")
    after = _there_is(stage)
    for name, count in before.items():
        story.tell("again", f"{name.replace('_', ' ')} before: {count}, after: {after[name]}")
    stage.delivered_again = {"events": len(ids), "before": before, "after": after}


def duplicates_delivered(system: LocalSystem) -> int:
    """How many deliveries came beyond the first of their event."""
    delivered = Counter(a.event_id for a in system.cloud.event_grid.deliveries if a.status in {200, 202})
    return sum(count - 1 for count in delivered.values())


def _there_is(stage: Stage) -> dict[str, Any]:
    learning = stage.system.cloud.machine_learning
    return {
        "reactions": len(stage.story.reactions()),
        "pipeline_runs": len(stage.system.factory.runs()),
        "jobs": len(learning.jobs()),
        "models": len(learning.registry.versions(MODEL)),
        "deployments": len(learning.online.state()[ENDPOINT]["deployments"]),
    }


def _until_nothing_is_due(system: LocalSystem) -> None:
    """Waits until no lane is to be looked at within ten seconds: whatever was delivered has been decided about."""
    deadline = time.monotonic() + 60
    address = system.cloud.account(APP_ACCOUNT).table
    with TableClient(address, "due", credential=system.credential) as due:
        while True:
            soon = datetime.now(UTC) + timedelta(seconds=QUIET_SECONDS)
            rows = list(due.query_entities("at le @soon", parameters={"soon": soon}))
            if not rows:
                return
            if time.monotonic() > deadline:
                raise DemoFailed(f"still to be looked at after a minute: {[row['RowKey'] for row in rows]}")
            time.sleep(0.5)
