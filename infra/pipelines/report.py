"""What a run tells: its log, and its summary on GitHub and on Azure DevOps."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from azure.core.exceptions import ClientAuthenticationError

from infra.pipelines.rest import PipelineFailed


def say(text: str) -> None:
    print(text, flush=True)


def summary(title: str, rows: Mapping[str, str], told: str = "") -> None:
    """A table on the run's page, and in the log."""
    lines = [f"### {title}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
    text = "\n".join([*lines, "", told, ""])
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with Path(file).open("a", encoding="utf-8") as page:
            page.write(text)
    elif os.environ.get("TF_BUILD") == "True":
        folder = os.environ.get("AGENT_TEMPDIRECTORY") or tempfile.gettempdir()
        page_file = Path(folder) / f"{title.lower().replace(' ', '-')}.md"
        page_file.write_text(text, encoding="utf-8")
        print(f"##vso[task.uploadsummary]{page_file}", flush=True)
    for name, value in rows.items():
        say(f"{name}: {value}")
    if told:
        say(told)


def _cell(value: str) -> str:
    """What somebody typed may not end a cell, nor be a link or a tag."""
    plain = " ".join(value.split())
    return "".join(f"\\{sign}" if sign in "|<>[]`*_#!\\" else sign for sign in plain)


def run(work: Callable[[], None]) -> int:
    """The exit code; what went wrong is one line, not a traceback."""
    try:
        work()
    except (PipelineFailed, ClientAuthenticationError) as error:
        print(f"failed: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
