"""The door: every event, whatever its type, comes in here."""

import azure.functions as func

from shared import wiring
from shared.settings import EVENT_QUEUE, STORAGE_CONNECTION

blueprint = func.Blueprint()


@blueprint.function_name("receive_event")
@blueprint.event_grid_trigger(arg_name="event")
def receive_event(event: str) -> None:
    """Takes one event in either envelope. Returning acknowledges it; raising makes Event Grid deliver it again."""
    wiring.app().intake.receive(event)


# Off (AzureWebJobs.receive_queued_event.Disabled) where Event Grid delivers to the webhook: it would poll all day.
@blueprint.function_name("receive_queued_event")
@blueprint.queue_trigger(arg_name="event", queue_name=EVENT_QUEUE, connection=STORAGE_CONNECTION)
def receive_queued_event(event: str) -> None:
    """Takes what Event Grid put into a queue. Returning deletes the message; raising brings it back.

    A text, not a QueueMessage: the host mixes the event's own members into a message's metadata, where "dequeueCount"
    or "insertionTime" of another type would fail every attempt before this is reached.
    """
    wiring.app().intake.receive_queued(event)
