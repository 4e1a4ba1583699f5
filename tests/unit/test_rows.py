"""Rows of other versions and of other sizes than usual."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from shared.cloud import rows
from shared.reactions import HistoryEntry, Job, Phase, PipelineAction, Reaction, Rollout, StartLimits, State
from tests.fakes import T0

PROPERTY = 32 * 1024
"""Characters that a text property of Table Storage holds."""


def reaction(*jobs: Job) -> Reaction:
    action = PipelineAction(
        pipeline="p",
        parameters={},
        timeout=timedelta(hours=1),
        attempts=1,
        backoff=timedelta(minutes=1),
        needs_manifest=False,
    )
    return Reaction(
        id="0123-1",
        rule="score",
        key="b1",
        revision="r",
        state=State.PENDING,
        reason="1 event",
        action=action,
        created=T0,
        changed=T0,
        events=1,
        jobs=jobs,
    )


def test_a_row_written_before_there_were_jobs_reads_fine() -> None:
    row = rows.reaction_row(reaction())
    assert "jobs" not in row
    assert rows.reaction(row).jobs == ()


def test_an_action_written_before_there_were_limits_has_none() -> None:
    row = rows.reaction_row(reaction())
    row["action"] = json.dumps({name: value for name, value in json.loads(row["action"]).items() if name != "limits"})
    del row["rowSchema"]
    found = rows.reaction(row)
    assert found.action.limits == StartLimits()
    assert (found.action.limits.rate, found.queues) == (None, ())


def test_more_jobs_than_a_property_holds_are_cut_to_the_last_ones() -> None:
    many = [Job(run_id="r" * 36, name=f"{n:05}" + "n" * 500, url="u" * 5000, status="s" * 99) for n in range(500)]
    row = rows.reaction_row(reaction(*many))
    assert len(row["jobs"]) <= PROPERTY
    kept = rows.reaction(row).jobs
    assert [str(job.name)[:5] for job in kept] == [f"{n:05}" for n in range(500 - len(kept), 500)]
    assert len(kept) >= 50


def test_a_reason_of_any_length_and_kind_fits_into_its_properties() -> None:
    why = "\x1b" * 100_000
    removing = Rollout(phase=Phase.REMOVING, ends=State.FAILED, why=why)
    row = rows.reaction_row(replace(reaction(), reason=why, rollout=removing))
    assert all(len(value) <= PROPERTY for value in row.values() if isinstance(value, str))
    found = rows.reaction(row).rollout
    assert found is not None
    assert why.startswith(found.why)


def test_a_line_about_a_model_with_a_long_name_fits_into_its_properties() -> None:
    entry = HistoryEntry(at=T0, what="model-registered", reason="r" * 99_000, attempt=1, run_id="m" * 99_000)
    row = rows.history_row("0123", "y!1", entry)
    assert all(len(value) <= PROPERTY for value in row.values() if isinstance(value, str))
