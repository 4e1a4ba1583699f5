"""One function per trigger, for tests of the host: each writes down what it got."""

import json
import logging
import os
import sys
import threading
from pathlib import Path

import azure.functions as func

app = func.FunctionApp()
bp = func.Blueprint()

logger = logging.getLogger("triggers")
lock = threading.Lock()
meeting = threading.Barrier(3)
pair = threading.Barrier(2)


def record(function: str, **facts: object) -> None:
    with lock, Path(os.environ["RECORD_FILE"]).open("a") as file:
        file.write(json.dumps({"function": function, **facts}) + "\n")


def has_company() -> bool:
    """Whether another invocation is at this place within a moment."""
    try:
        pair.wait(timeout=0.3)
    except threading.BrokenBarrierError:
        pair.reset()
        return False
    return True


@app.function_name("receive_raw")
@app.event_grid_trigger(arg_name="event")
def receive_raw(event: str, context: func.Context) -> None:
    content = json.loads(event)
    asked = content.get("data", {})
    record("receive_raw", raw=event, context=[context.function_name, bool(context.invocation_id)])
    if asked.get("meet"):
        meeting.wait(timeout=20)  # only events that run at the same time get past this
    logger.info("received %s", content["id"])
    if asked.get("fail"):
        raise RuntimeError("this event was told to fail")


@app.function_name("receive_typed")
@app.event_grid_trigger(arg_name="event")
def receive_typed(event: func.EventGridEvent) -> None:
    kind = event.event_type if isinstance(event, func.EventGridEvent) else event.type
    record("receive_typed", cls=type(event).__name__, kind=kind, data=event.get_json())


@bp.function_name("work")
@bp.queue_trigger(arg_name="message", queue_name="%WORK_QUEUE%", connection="AppStorage")
def work(message: func.QueueMessage) -> None:
    body = message.get_body().decode()
    company = body == "alone?" and has_company()
    record(
        "work",
        body=body,
        id=message.id,
        dequeue_count=message.dequeue_count,
        inserted=message.insertion_time.isoformat() if message.insertion_time else None,
        pop_receipt=bool(message.pop_receipt),
        company=company,
    )
    if body == "meet":
        meeting.wait(timeout=20)


@bp.function_name("fail")
@bp.queue_trigger(arg_name="text", queue_name="failing", connection="AppStorage")
def fail(text: str) -> None:
    record("fail", body=text)
    raise RuntimeError("this function always fails")


@bp.function_name("tick")
@bp.timer_trigger(arg_name="timer", schedule="%TICK%")
def tick(timer: func.TimerRequest) -> None:
    record("tick", past_due=timer.past_due, status=timer.schedule_status)


@bp.function_name("show")
@bp.route(route="things/{id:int}/{part?}", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def show(req: func.HttpRequest) -> func.HttpResponse:
    facts = {"route": dict(req.route_params), "query": dict(req.params), "header": req.headers.get("X-Test")}
    return func.HttpResponse(json.dumps(facts), mimetype="application/json", headers={"X-Answer": "yes"})


@bp.function_name("latest")
@bp.route(route="things/latest", methods=["GET"])
def latest(req: func.HttpRequest) -> str:
    return "latest"


@bp.function_name("store")
@bp.route(route="things/{id:int}", methods=["PUT"])
async def store(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.get_body()[::-1], status_code=201)


@bp.function_name("probe")
@bp.route(route="probe/{what}")
def probe(req: func.HttpRequest) -> func.HttpResponse:
    """Things a well-behaved app does not do."""
    what = req.route_params["what"]
    if what == "raise":
        raise RuntimeError("this request was told to fail")
    if what == "die":
        os._exit(7)
    if what == "hang":
        threading.Event().wait()
    if what == "headers":
        told = {"headers": dict(req.headers), "enabled": os.environ.get("WEBSITE_AUTH_ENABLED")}
        return func.HttpResponse(json.dumps(told))
    if what == "none":
        return None
    if what == "slow":
        record("probe", started=True)
        threading.Event().wait(1.0)
    return func.HttpResponse(json.dumps({"path": sys.path, "pid": os.getpid(), "cwd": os.getcwd()}))


@bp.function_name("exact")
@bp.route(route="probe/exact")
def exact(req: func.HttpRequest) -> str:
    return "exact"


app.register_functions(bp)
