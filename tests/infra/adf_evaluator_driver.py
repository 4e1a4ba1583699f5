"""Asks Microsoft's expression evaluator. A script for that evaluator's own virtual environment.

Reads a list of {"expression", "state"} as JSON from standard input and writes the list of answers: {"value"} or
{"error"}. The evaluator itself is the .NET assembly that data-factory-testing-framework ships; the framework's Python
grammar in front of it is left out, as it is not Microsoft's evaluator and refuses what that can do.
"""

import json
import sys

import pythonnet

pythonnet.load("coreclr", runtime_config=sys.argv[1])

from data_factory_testing_framework import _pythonnet  # noqa: E402, F401  # loads the assemblies
from Microsoft.Azure.DataFactoryTestingFramework.Expressions import Evaluator  # noqa: E402


def answer(expression, state):
    activities = {name: {"outputs": {"body": seen}} for name, seen in state["activities"].items()}
    pipeline, variables, seen = (json.dumps(part) for part in (state["pipeline"], state["variables"], activities))
    try:
        said = Evaluator().EvaluateExpression(expression, pipeline, variables, None, seen)
        return {"value": json.loads(said)["result"]}
    except Exception as refusal:  # noqa: BLE001  # whatever .NET throws is the answer
        return {"error": str(refusal).splitlines()[0]}


if __name__ == "__main__":
    print(json.dumps([answer(each["expression"], each["state"]) for each in json.load(sys.stdin)]))
