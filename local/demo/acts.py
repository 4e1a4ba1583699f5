"""The acts of the demo, one after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from local.demo.calls import Calls
from local.demo.data import rows, scored
from local.demo.expectations import DemoFailed
from local.demo.stage import OVERNIGHT, REACTION_SECONDS, Batch, Stage
from local.story import FINAL, Reactions
from local.system import ENDPOINT, MONITOR, MONITORED, MONITORED_BATCH
from local.workspace_client import Training

# As in ml/sample.py: weights so small that the model is worse than any other, on made-up data and on the real files.
WORSE_REGULARISATION = 100_000.0
NIGHTLY: Final = "wednesday"
NIGHT_FALLS: Final = timedelta(seconds=25)
"""So long before the night no day begins: all its files must have been delivered by then."""
A_MOMENT: Final = timedelta(seconds=1)


def first_model_goes_live(stage: Stage) -> None:
    """Its training is a job like any other; it is its registration that Relearn reacts to."""
    stage.land(f"{MONITORED}/baseline/{stage.files.baseline.name}", stage.files.baseline.read_bytes())
    job = stage.system.start_first_training()
    stage.story.tell("job", f"the batch endpoint diabetes-train is invoked: job {job}")
    stage.until_job_ended(job, "the training of the first model")
    live = stage.until_live(None, 1, "the first model to go live")
    stage.story.tell("live", f"{live.model}:{live.version} answers at {ENDPOINT}, as {live.deployment}")
    _keep_asking(stage)
    stage.until_ended(1, "the end of the first rollout")


def _keep_asking(stage: Stage) -> None:
    """From here to the end somebody asks the endpoint, about ten times a second."""
    scoring = stage.system.workspace.scoring(ENDPOINT)
    stage.calls = Calls(scoring, stage.files.two_patients(), stage.system.cloud.certificates.client_context())
    stage.calls.start()
    stage.story.tell("calls", f"from now on a client asks {scoring.uri} again and again")


def two_files_are_scored(stage: Stage) -> None:
    batch = Batch(
        title="two files",
        batch="monday",
        rule="score-patients",
        files=2,
        rows=rows(stage.files.patients[0].read_bytes()),
    )
    for file in stage.files.patients:
        stage.land(f"0-raw/diabetes/{batch.batch}/stage/{file.name}", file.read_bytes())
    _until_scored(stage, batch)


def a_burst_is_scored_at_once(stage: Stage) -> None:
    parts = stage.files.parts
    batch = Batch(
        title=f"a burst of {len(parts)} files",
        batch="tuesday",
        rule="score-patients-in-parts",
        files=len(parts),
        rows=sum(rows(part.read_bytes()) for part in parts if part.name.startswith("patient-age")),
    )
    stage.story.tell("burst", f"{len(parts)} files land in 0-raw/diabetes/{batch.batch}/parts/")
    for part in parts:
        stage.system.upload(f"0-raw/diabetes/{batch.batch}/parts/{part.name}", part.read_bytes())
    stage.story.tell("burst", f"{len(parts)} files have landed")
    _until_scored(stage, batch)


def a_day_of_single_files(stage: Stage) -> None:
    """They land at once here; what gathers them is the night, which does not come in between."""
    files = stage.files.day
    night = _next_night(stage)
    if night - datetime.now(UTC) < NIGHT_FALLS:
        stage.story.tell("night", f"it is too late in the day: {night:%H:%M} UTC is waited for")
        stage.story.until(lambda _: datetime.now(UTC) > night + A_MOMENT, 60, "the night to pass")
        night = _next_night(stage)
    folder = f"0-raw/diabetes/{NIGHTLY}/day"
    for file in files:
        stage.system.upload(f"{folder}/{file.name}", file.read_bytes())
    stage.story.tell("day", f"{len(files)} files of one row each have landed in {folder}/; {night:%H:%M} UTC is night")
    stage.overnight = Batch(
        title=f"a day of {len(files)} files",
        batch=NIGHTLY,
        rule=OVERNIGHT,
        files=len(files),
        rows=len(files),
    )


def _next_night(stage: Stage) -> datetime:
    return stage.system.overnight.next_after(datetime.now(UTC))


def the_night_is_scored(stage: Stage) -> None:
    """Long past, as a rule: the acts before took longer."""
    batch = stage.overnight
    if batch is None:
        raise DemoFailed("no files have landed for the night")

    def ended(found: Reactions) -> bool:
        mine = [reaction for reaction in found if reaction["rule"] == batch.rule]
        return bool(mine) and all(reaction["state"] in FINAL for reaction in mine)

    stage.story.until(ended, REACTION_SECONDS, f"the reaction to {batch.title}")
    _look_at_silver(stage, batch)


def _until_scored(stage: Stage, batch: Batch) -> None:
    stage.until_ended(len(stage.batches) + 2, f"the reaction to {batch.title}")
    _look_at_silver(stage, batch)
    stage.batches.append(batch)


def _look_at_silver(stage: Stage, batch: Batch) -> None:
    """Raises DemoFailed: there is not exactly one silver file."""
    found = [path for path in stage.system.paths(f"2-silver/diabetes/{batch.batch}/") if path.endswith("/diabetes.csv")]
    if len(found) != 1:
        raise DemoFailed(f"expected one silver file for batch {batch.batch}, found {found or 'none'}")
    [batch.silver_path] = found
    batch.scored_rows, batch.positive = scored(stage.system.download(batch.silver_path))
    told = f"{batch.scored_rows:,} rows scored, {batch.positive:,} of them positive"
    stage.story.tell("silver", f"{batch.silver_path}: {told}")


def drifted_data_brings_a_new_model(stage: Stage) -> None:
    before = stage.live_before = stage.system.live()
    if before is None:
        raise DemoFailed("nothing is live before the drifted file lands")
    stage.land(f"{MONITORED}/target/{stage.files.target.name}", stage.files.target.read_bytes())
    _run_monitor(stage)
    reactions = len(stage.batches) + 3
    live = stage.until_live(before, reactions, "a model trained on the drifted data to go live")
    stage.live_after = live
    stage.story.tell("live", f"{live.model}:{live.version} answers in place of {before.version}, as {live.deployment}")
    _ask_once(stage)


def _run_monitor(stage: Stage) -> None:
    """In Azure its schedule runs it, once a day."""
    monitoring = stage.system.cloud.machine_learning.monitoring
    stage.monitor_run = stage.system.workspace.run_monitor(MONITOR)
    stage.story.tell("monitor", f"{MONITOR} compares {MONITORED}/target with /baseline: run {stage.monitor_run}")
    stage.until_job_ended(stage.monitor_run, f"the run of monitor {MONITOR}")
    for metric in monitoring.run(stage.monitor_run).metrics:
        verdict = "breached" if metric.breached else "within it"
        told = f"{metric.group}: {metric.name} {metric.value:.3f}, threshold {metric.threshold}: {verdict}"
        stage.story.tell("drift", told)


def _ask_once(stage: Stage) -> None:
    if stage.calls is None:
        raise DemoFailed("no client asks the endpoint: no model has gone live")
    stage.answer = stage.calls.ask(stage.files.two_patients())
    stage.story.tell("answer", f"two patients: {stage.answer['response']}, from {stage.answer['deployment']}")


def a_worse_model_is_refused(stage: Stage) -> None:
    """Somebody trains by hand, with far too strong a penalty, and compares with what is live as the pipeline does."""
    training = Training(
        batch=MONITORED_BATCH,
        name="by-hand",
        reason="tried by hand",
        live=stage.live_after,
        on_target=True,
        regularisation=WORSE_REGULARISATION,
    )
    job = stage.system.start_training(training)
    stage.story.tell("job", f"somebody trains with regularisation {WORSE_REGULARISATION:,.0f}: job {job}")
    stage.until_job_ended(job, "the training of the worse model")
    stage.until_ended(len(stage.batches) + 4, "the verdict on the worse model")
    live = stage.system.live()
    stage.live_after = live
    told = f"{live.model}:{live.version} goes on answering, as {live.deployment}" if live else "nothing is live"
    stage.story.tell("live", told)
