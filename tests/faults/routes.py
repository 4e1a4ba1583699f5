"""What a request is, by one short name: who was asked, how, and for what. Read off the wire, never off our code.

In tables, whose requests all look alike, the name says which kind of row they are about, and of a transaction on a lane
the state in which it leaves the reaction: what a fault has for a consequence depends on that.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from local.faults import Asked

_ROW = re.compile(r"PartitionKey='(?P<partition>[^']*)',RowKey='(?P<row>[^']*)'")
_BODY = {name: re.compile(rf'"{name}": "([^"]*)"') for name in ("PartitionKey", "RowKey", "state")}
_TABLE_OF_BATCH = re.compile(r"^(?:POST|PUT|PATCH|DELETE|MERGE) \S+?/[a-z]+\d+/(?P<table>\w+)", re.MULTILINE)
_WORKSPACE = re.compile(r".*/providers/microsoft\.machinelearningservices/(?:workspaces/[^/]+|locations/[^/]+)/")
_NAMED = {
    "pipelines",
    "pipelineruns",
    "jobs",
    "components",
    "models",
    "versions",
    "onlineendpoints",
    "online",
    "deployments",
    "environments",
    "codes",
    "runs",
}
"""What comes behind these in a path is a name of somebody's."""


def route_of(asked: Asked) -> str:
    """The name of the request's route: "table PUT due lane:", "adf POST pipelines/{}/createrun"."""
    if asked.service != "storage":
        return f"{asked.service} {asked.method} {_template(asked)}"
    _, service, _, rest = asked.path.split("/", 3)
    named = {"table": _table, "blob": _blob, "queue": _queue}[service](asked, rest)
    return f"{service} {asked.method} {named}"


def _template(asked: Asked) -> str:
    path = asked.path.lower()
    if asked.service == "adf":
        path = re.sub(r".*/factories/[^/]+/", "", path)
    elif asked.service == "aml":
        path = _WORKSPACE.sub("", path if "/workspaces/" not in path else f"{path}/").strip("/") or "(workspace)"
    elif asked.service == "topic":
        path = "api/events"
    parts = path.strip("/").split("/")
    return "/".join("{}" if n and parts[n - 1] in _NAMED else part for n, part in enumerate(parts))


def _blob(_asked: Asked, rest: str) -> str:
    container, _, blob = rest.partition("/")
    name, _, question = blob.partition("?")
    return f"{container}{'/{}' if name else ''}{'?' + question if question else ''}"


def _queue(_asked: Asked, rest: str) -> str:
    return "/".join("{}" if n == 2 else part for n, part in enumerate(rest.split("/")))


def _table(asked: Asked, rest: str) -> str:
    body = asked.body.decode("utf-8", "replace")
    if rest == "$batch":
        return f"$batch {_batch(body)}"
    table = rest.partition("(")[0]
    found = _ROW.search(rest)
    if found is not None:
        return f"{table} {_kind(found['partition'], found['row'], table)}"
    if asked.method == "POST":
        return f"{table} {_kind(_value('PartitionKey', body), _value('RowKey', body), table)}"
    return f"{table} many"


def _batch(body: str) -> str:
    table = _TABLE_OF_BATCH.search(body)
    if table is None:
        return "unknown"
    partitions = _BODY["PartitionKey"].findall(body)
    keys = {_prefix(key) for key in (*_BODY["RowKey"].findall(body), *(unquote(m["row"]) for m in _ROW.finditer(body)))}
    if table["table"] == "permits":
        resource = unquote(partitions[0] if partitions else "").partition(":")[0]
        return f"permits {resource} {'grant' if 'p!' in keys else 'head'}"
    if table["table"] == "lanes" and "r!" in keys:
        return f"lanes {_BODY['state'].findall(body)[0]}"
    return f"{table['table']} {' '.join(sorted(keys))}"


def _kind(partition: str, row: str, table: str) -> str:
    if table == "permits":
        return f"{partition.partition(':')[0]} {_prefix(row)}"
    return "day" if table == "recent" and row[:1].isdigit() else _prefix(row)


def _prefix(key: str) -> str:
    """What kind of row it is: the key up to its first ! or :"""
    found = re.match(r"[a-z]+[!:]", key)
    return found[0] if found is not None else key


def _value(name: str, body: str) -> str:
    found = _BODY[name].search(body)
    return found[1] if found is not None else ""
