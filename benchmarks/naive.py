"""What Relearn is measured against: a function that starts a run for each event, as many a project has one.

It is a whole function app (benchmarks/comparison.py runs it in the same host and gives it the same events): no ledger,
no limits, nothing collected. What fails is raised, so that Event Grid delivers again; the SDK's own retries are on.
"""

import json
import os
import re
from functools import cache
from urllib.parse import unquote

import azure.functions as func
from azure.identity import DefaultAzureCredential
from azure.mgmt.datafactory import DataFactoryManagementClient

app = func.FunctionApp()

PIPELINE = "score"
WANTED = re.compile(r"/blobServices/default/containers/lake/blobs/in/(?P<batch>[^/]+)/[^/]+\.csv")
FACTORY = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/.*/factories/(?P<name>[^/]+)"
)


@cache
def factory() -> tuple[DataFactoryManagementClient, str, str]:
    """The client, and whose pipelines it starts."""
    found = FACTORY.fullmatch(os.environ["RELEARN_DATA_FACTORY_ID"])
    if found is None:
        raise ValueError("RELEARN_DATA_FACTORY_ID is not the id of a data factory")
    endpoint = os.environ["RELEARN_ARM_ENDPOINT"]
    client = DataFactoryManagementClient(
        DefaultAzureCredential(),
        found["subscription"],
        base_url=endpoint,
        credential_scopes=[f"{endpoint}/.default"],
    )
    return client, found["group"], found["name"]


@app.function_name("receive_event")
@app.event_grid_trigger(arg_name="event")
def receive_event(event: str) -> None:
    """One event, one run."""
    raised = json.loads(event)
    if raised["eventType"] != "Microsoft.Storage.BlobCreated":
        return
    wanted = WANTED.fullmatch(unquote(raised["subject"]))
    if wanted is None:
        return
    client, group, name = factory()
    # There is no reaction: the event's id stands for one, so that runs can be told apart in the factory's log.
    parameters = {
        "reaction_id": raised["id"],
        "attempt": "1",
        "batch": wanted["batch"],
        "files": raised["data"]["url"],
    }
    client.pipelines.create_run(group, name, PIPELINE, parameters=parameters)
