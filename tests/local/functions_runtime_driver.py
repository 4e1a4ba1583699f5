"""Indexes an app and invokes its functions with azure-functions-runtime, the library of Azure's Python 3.13 worker.

A script for that library's own virtual environment: it reads what to invoke as JSON from standard input and writes
what came of it as JSON. The gRPC messages of the real host are stood in for by plain objects; the library only
makes them by keyword and reads their fields.
"""

import argparse
import asyncio
import base64
import json
import sys
import uuid
from importlib.metadata import version
from types import SimpleNamespace


class Message:
    """A protobuf message as far as the library looks at it."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def WhichOneof(self, group):
        return next(iter(self.__dict__), None)


class StatusResult(Message):
    Failure, Success, Cancelled = 0, 1, 2


class BindingInfo(Message):
    undefined, out, inout = 0, 1, 2


class ParameterBinding(Message):
    def WhichOneof(self, group):
        return "data"


PROTOS = SimpleNamespace(
    StatusResult=StatusResult,
    BindingInfo=BindingInfo,
    ParameterBinding=ParameterBinding,
    **{
        name: type(name, (Message,), {})
        for name in (
            "FunctionMetadataResponse",
            "InvocationResponse",
            "RpcException",
            "RpcFunctionMetadata",
            "RpcHttp",
            "TypedData",
            "WorkerInitResponse",
            "WorkerMetadata",
        )
    },
)


def typed(datum):
    """A TypedData from the JSON form of a datum."""
    kind, value = datum["type"], datum["value"]
    if kind == "bytes":
        value = base64.b64decode(value)
    if kind == "http":
        texts = {part: {n: d["value"] for n, d in value[part].items()} for part in ("headers", "query", "params")}
        value = PROTOS.RpcHttp(
            method=value["method"]["value"], url=value["url"]["value"], body=typed(value["body"]), **texts
        )
    return PROTOS.TypedData(**{kind: value})


def request(**content):
    return SimpleNamespace(request=SimpleNamespace(**content), properties={"host": "127.0.0.1", "protos": PROTOS})


async def index(runtime, app_root):
    """The metadata of every function.

    Raises:
        SystemExit: the worker could not index the app; the message is the worker's.
    """
    init = SimpleNamespace(capabilities={}, function_app_directory=app_root)
    answer = await runtime.worker_init_request(request(worker_init_request=init))
    if answer.result.status != StatusResult.Success:
        raise SystemExit(answer.result.exception.stack_trace)
    answer = await runtime.functions_metadata_request(request())
    return answer.function_metadata_results


async def invoke(runtime, function, call):
    trigger = next(json.loads(raw) for raw in function.raw_bindings if json.loads(raw)["type"].endswith("Trigger"))
    answer = await runtime.invocation_request(
        request(
            invocation_request=SimpleNamespace(
                invocation_id=str(uuid.uuid4()),
                function_id=function.function_id,
                input_data=[ParameterBinding(name=trigger["name"], data=typed(call["datum"]))],
                trigger_metadata={name: typed(datum) for name, datum in call["metadata"].items()},
                trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
                retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
            )
        )
    )
    outcome = {"function": function.name, "succeeded": answer.result.status == StatusResult.Success}
    if not outcome["succeeded"]:
        outcome["exception"] = answer.result.exception.message
    elif answer.return_value is not None:
        http = answer.return_value.http
        outcome |= {"status": int(http.status_code), "body": http.body.bytes.decode()}
    return outcome


async def main(app_root):
    import azure_functions_runtime as runtime

    runtime.start_threadpool_executor()
    functions = {function.name: function for function in await index(runtime, app_root)}
    calls = json.load(sys.stdin)
    outcomes = [await invoke(runtime, functions[call["function"]], call) for call in calls]
    runtime.stop_threadpool_executor()
    return {
        "versions": {name: version(name) for name in ("azure-functions-runtime", "azure-functions")},
        "python": sys.version.split()[0],
        "functions": {
            name: [json.loads(raw)["type"] for raw in function.raw_bindings] for name, function in functions.items()
        },
        "outcomes": outcomes,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app-root", required=True)
    parser.add_argument("--worker", required=True, help="the folder that the worker library is installed in")
    given = parser.parse_args()
    # The worker puts its own library first and the app root last, and knows nothing of this script's folder.
    sys.path[:] = [given.worker, *sys.path[1:], given.app_root]
    print(json.dumps(asyncio.run(main(given.app_root))))
