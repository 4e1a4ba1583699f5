"""What moves things on: wake-ups that name a key to look at, and the sweep that finds whatever was lost."""

import json

import azure.functions as func

from shared import wiring
from shared.settings import STORAGE_CONNECTION, SWEEP_SCHEDULE, WAKE_UP_QUEUE

blueprint = func.Blueprint()


@blueprint.function_name("look")
@blueprint.queue_trigger(arg_name="message", queue_name=WAKE_UP_QUEUE, connection=STORAGE_CONNECTION)
def look(message: func.QueueMessage) -> None:
    """Looks at the key that the wake-up names."""
    app = wiring.app()
    app.engine.look(str(json.loads(message.get_body())["look"]))


@blueprint.function_name("sweep")
@blueprint.timer_trigger(arg_name="timer", schedule=SWEEP_SCHEDULE, run_on_startup=False, use_monitor=True)
def sweep(timer: func.TimerRequest) -> None:
    """Wakes whatever is due, and what poisoned wake-ups were for; takes in poisoned events."""
    app = wiring.app()
    app.upkeep.make_sure()
    app.scheduler.sweep()
    app.poisoned.sweep()
