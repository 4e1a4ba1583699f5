"""The door: every event, whatever its type, comes in here."""

import azure.functions as func

from shared import wiring

blueprint = func.Blueprint()


@blueprint.function_name("receive_event")
@blueprint.event_grid_trigger(arg_name="event")
def receive_event(event: str) -> None:
    """Takes one event in either envelope. Returning acknowledges it; raising makes Event Grid deliver it again."""
    wiring.app().intake.receive(event)
