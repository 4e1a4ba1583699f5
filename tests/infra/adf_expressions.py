"""Every ADF expression of infra/adf in many states, the functions of the language, and what both evaluators say.

The states are made from the expression: whatever it reads takes one value after another, so that an expression added
to a pipeline has its states without anybody writing them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.data_factory.scopes import ActivityRun, Scope, Variables
from local.data_factory.values import ExpressionError
from tests.local import test_expressions as documented

ROOT = Path(__file__).resolve().parents[2]
ADF = ROOT / "infra" / "adf"
RECORD = ROOT / "tests" / "data" / "adf-expressions.json"
EDGES = ROOT / "tests" / "data" / "adf-edges.txt"

NOTHING = {"left": "out"}
"""Stands for a property that is not there."""
TEXTS = (
    *("NotStarted", "Running", "Completed", "Failed", "Canceled", "completed"),
    *("", " ", "0012", "true", "null", "2026-11", "2026-11-22T04:10:11.1234567Z"),
    *("a/b/c", "/a//", "/subscriptions/s/resourceGroups/g/providers/P/workspaces/w/jobs/job-9"),
    *(
        "azureml:/subscriptions/s/resourceGroups/models/workspaces/w/models/diabetes/versions/12",
        "/models/models//models/",
    ),
    *('it\'s "quoted" \\ 100% {x}', "@concat('a')", "@{x} @@{y} @", "Zürich € 😀\n\t"),
)
VALUES: dict[str, tuple[Any, ...]] = {
    "String": TEXTS,
    "Int": (60, 1, 0, -1),
    "Bool": (True, False),
    "answer": (*TEXTS, None, 7, True, {"a": 1}, ["a", "b"], NOTHING),  # of a service: it may be anything
}
_READS = re.compile(
    r"pipeline\(\)\.(?P<scope>parameters|globalParameters)\.(?P<name>\w+)"
    r"|variables\('(?P<variable>[^']+)'\)"
    r"|activity\('(?P<activity>[^']+)'\)\.(?P<path>output(?:\.\w+)+)"
)
_STATEFUL = re.compile(r"\b(pipeline|variables|activity|item|utcnow|guid)\s*\(", re.IGNORECASE)
_UNREPEATABLE = re.compile(r"utcnow\(|^@guid\(", re.IGNORECASE)

FUNCTIONS_STATE = {
    "pipeline": documented.SYSTEM,
    "variables": {name: entry.get("defaultValue") for name, entry in documented.DECLARED.items()},
    "activities": {
        "Web1": {
            "Status": "Succeeded",
            "output": {
                "id": "/jobs/job-9", "properties": {"status": "Completed", "a.b": 1}, "value": [{"n": 1}, {"n": 2}],
            },
        },
        "Broken": {"Status": "Failed", "error": {"message": "no", "errorCode": "2108"}},
    },
}  # fmt: skip


def documents(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]


def strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from (text for each in value.values() for text in strings(each))
        case list():
            yield from (text for each in value for text in strings(each))


def expressions(folder: Path) -> list[str]:
    """Each once, in the order of the files."""
    found = (text for document in documents(folder) for text in strings(document))
    return list(dict.fromkeys(text for text in found if text.startswith("@") or "@{" in text))


def types(folder: Path) -> dict[str, str]:
    """The declared type of whatever an expression can read."""
    found: dict[str, str] = {}
    for document in documents(folder):
        properties = document["properties"]
        if "typeProperties" in properties:  # a linked service: nothing reads it by a name in an expression
            continue
        if "activities" not in properties:
            found |= {f"globalParameters.{name}": entry["type"] for name, entry in properties.items()}
            continue
        for scope in ("parameters", "variables"):
            found |= {f"{scope}.{name}": entry["type"] for name, entry in properties.get(scope, {}).items()}
    return found


def reads(expression: str) -> list[str]:
    """What it reads, as paths into a state."""
    found = []
    for match in _READS.finditer(expression):
        if match["scope"]:
            found.append(f"{match['scope']}.{match['name']}")
        elif match["variable"]:
            found.append(f"variables.{match['variable']}")
        else:
            found.append(f"activities.{match['activity']}.{match['path']}")
    if rest := _STATEFUL.search(_READS.sub("", expression)):
        raise ValueError(f"{expression}: {rest[1]} is read in a way that no state is made for; see {__name__}")
    return list(dict.fromkeys(found))


def values(read: list[str], types_: dict[str, str]) -> list[list[Any]]:
    """The values that what is read takes together: every value once at least, then nothing at all."""
    choices = [VALUES["answer"] if path.startswith("activities.") else VALUES[types_[path]] for path in read]
    rounds = [
        [choice[(turn + 3 * place) % len(choice)] for place, choice in enumerate(choices)]
        for turn in range(max(map(len, choices), default=1))
    ]
    return [*rounds, [NOTHING] * len(read)] if read else rounds


def state(read: list[str], given: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "pipeline": {"parameters": {}, "globalParameters": {}}, "variables": {}, "activities": {},
    }  # fmt: skip
    for path, value in zip(read, given, strict=True):
        *parents, name = path.split(".")
        place = made if parents[0] in {"variables", "activities"} else made["pipeline"]
        for parent in parents:
            place = place.setdefault(parent, {})
        if value != NOTHING:
            place[name] = value
    for activity in made["activities"].values():
        activity["Status"] = "Succeeded"
    return made


def pipeline_questions(folder: Path = ADF) -> list[dict[str, Any]]:
    known = types(folder)
    return [
        {"expression": text, "reads": read, "values": given, "state": state(read, given)}
        for text in expressions(folder)
        for read in [reads(text)]
        for given in values(read, known)
    ]


def function_questions() -> list[dict[str, Any]]:
    """What the language can do beyond the pipelines: Microsoft's documented examples, and its edges."""
    listed = [f"@{text}" for text, _ in [*documented.DOCUMENTED, *documented.REACHING, *documented.BROKEN]]
    listed += [value for value, _ in documented.VALUES if isinstance(value, str)]
    listed += EDGES.read_text().splitlines()
    return [
        {"expression": text, "state": FUNCTIONS_STATE}
        for text in dict.fromkeys(listed)
        if not _UNREPEATABLE.search(text)
    ]


def questions() -> list[dict[str, Any]]:
    return [*pipeline_questions(), *function_questions()]


def write_record(version: str, pairs: list[dict[str, Any]], path: Path = RECORD) -> None:
    """One line a pair, so that a change of the evaluator's mind can be read."""
    lines = [json.dumps(_recorded(pair), ensure_ascii=False) for pair in pairs]
    path.write_text(f'{{"evaluator": {json.dumps(version)}, "pairs": [\n' + ",\n".join(lines) + "\n]}\n")


def _recorded(pair: dict[str, Any]) -> dict[str, Any]:
    kept = {name: pair[name] for name in ("expression", "reads", "values", "value") if name in pair}
    return kept | ({"error": pair["error"][:120]} if "error" in pair else {})


def read_record(path: Path = RECORD) -> list[dict[str, Any]]:
    """The pairs with their states, which the record does not repeat."""
    pairs: list[dict[str, Any]] = json.loads(path.read_text())["pairs"]
    return [
        {**pair, "state": state(pair["reads"], pair["values"]) if "reads" in pair else FUNCTIONS_STATE}
        for pair in pairs
    ]


Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


def local_answer(expression: str, given: dict[str, Any]) -> dict[str, Any]:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    declared = {name: {"type": "String", "defaultValue": value} for name, value in given["variables"].items()}
    scope = Scope(system=given["pipeline"], variables=Variables(declared), now=lambda: noon)
    for name, seen in given["activities"].items():
        scope.runs[name] = ActivityRun(
            name=name, type="WebActivity", start=noon, status=seen["Status"],
            output=seen.get("output"), error=seen.get("error"),
        )  # fmt: skip
    try:
        return {"value": scope.resolve(expression)}
    except ExpressionError as refusal:
        return {"error": str(refusal)}


# Expressions of no pipeline of ours that Microsoft's evaluator answers and the local interpreter refuses, on purpose:
# what works here works there, never the other way round.
REFUSED_HERE = {
    "names are found by their exact spelling": (
        "@pipeline().parameters.mystring",
        "@pipeline().Parameters.myString",
        "@variables('STATUS')",
        "@activity('web1').output.id",
        "@activity('Web1').Output.ID",
    ),
    "every argument is evaluated, and checked, whether it is needed or not": (
        "@or(equals(1, 1), 'x')",
        "@if(true, 1, div(1, 0))",
        "@if(false, div(1,0), 2)",
        "@and(false, 'x')",
        "@and(false, equals(div(1,0), 1))",
        "@or(true, equals(div(1,0), 1))",
    ),
    "two arguments, as Microsoft's page says": (
        "@and(true)",
        "@and(true, true, false)",
        "@or(true, false, false)",
    ),
    "text that is not JSON": (
        "@json('')",
        "@json('{a:1}')",
        "@json('[1,]')",
        "@json('[1] x')",
        "@json('''a''')",
        "@json('NaN')",
        "@json('Infinity')",
        "@json('{\"$a\":1}').$a",
    ),
    "numbers spelt loosely, or without an end": (
        "@int('1,000')",
        "@int('1e3')",
        "@float('1,5')",
        "@float('1,000.5')",
        "@float('NaN')",
        "@float('1e400')",
        "@1e400",
        "@mul(1e308, 10)",
        "@bool('  true ')",
        "@base64ToString('/w==')",
    ),
    "date formats that depend on a culture or are rarely written": (
        "@formatDateTime('2018-03-15T12:00:00Z', 'd')",
        "@formatDateTime('2018-03-15T12:00:00Z', 't')",
        "@formatDateTime('2018-03-15T12:00:00Z', 'T')",
        "@formatDateTime('2018-03-15T12:00:00Z', '')",
        "@formatDateTime('2018-03-15T00:05:06Z', 'hh tt t yy y M')",
        "@formatDateTime('2018-03-15T12:05:06Z', 'qq')",
        "@formatDateTime('2018-03-15T12:05:06Z', 'ggg')",
        "@formatDateTime('2018-03-15T12:05:06Z', 'yyyyy')",
    ),
    "timestamps that are not quite ISO 8601, or finer than a tick": (
        "@formatDateTime('2018-03-15T12:00:00.123456789Z')",
        "@formatDateTime('2018-03-15T12:00:00.12345678Z')",
        "@formatDateTime('2018-03-15T12:00:00z')",
        "@formatDateTime('2018-03-15t12:00:00Z')",
        "@formatDateTime(' 2018-03-15 ')",
        "@formatDateTime('2018-3-5')",
        "@formatDateTime('2018-03')",
        "@formatDateTime('Thu, 15 Mar 2018 12:00:00 GMT')",
    ),
}
# Where both give a value and not the same one.
UNLIKE = {
    "@formatDateTime('2018-03-15T12:00:00Z', 'D')": "the page shows the American form; this runtime has no cultures",
    "@toLower('ÀÉ')": "without ICU this .NET changes the case of ASCII letters only; the service has cultures",
    "@first('😀')": "cutting characters beyond the first 65,536 in half is not imitated",
    "@json('\"\\ud83d\"')": "half a character again",
}


def disagreements(pairs: list[dict[str, Any]], answer: Answer = local_answer) -> Iterator[str]:
    """Where the local interpreter says something else than Microsoft's evaluator, and nobody has said why."""
    refused = {text for texts in REFUSED_HERE.values() for text in texts}
    for pair in pairs:
        text, ours = pair["expression"], answer(pair["expression"], pair["state"])
        agreed = _agree(pair, ours)
        explained = "reads" not in pair and (text in UNLIKE or (text in refused and "error" in ours))
        if not agreed and not explained:
            yield f"{text} with {pair.get('values', [])}: here {_said(ours)}, Microsoft's evaluator {_said(pair)}"
        if agreed and "reads" not in pair and (text in UNLIKE or text in refused):
            yield f"{text}: agrees, and need not be listed"


def _agree(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """The same JSON, where 1, 1.0, true and "1" are four things; an error is like any other error."""
    if "error" in theirs or "error" in ours:
        return "error" in theirs and "error" in ours
    return json.dumps(theirs["value"], sort_keys=True) == json.dumps(ours["value"], sort_keys=True)


def _said(answer: dict[str, Any]) -> str:
    return f"says {json.dumps(answer['value'])}" if "value" in answer else f"refuses ({answer['error'][-80:]})"
