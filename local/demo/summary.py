"""The tables at the end of the demo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from local.demo.stage import Batch

Json = Mapping[str, Any]


def show(result: Json, batches: Sequence[Batch], console: Console) -> None:
    console.print()
    console.print(_files(result, batches))
    console.print()
    console.print(_models(result))
    calls, again, night = result["calls"], result["delivered_again"], result["overnight"]
    batches_at_night = sum(r["rule"] == night.get("rule") for r in result["reactions"])
    at_night = "one batch" if batches_at_night == 1 else f"{batches_at_night} batches"
    console.print(
        f"{night.get('files', 0):,} files through the day, {at_night} at night\n"
        f"{calls['sent']:,} requests came to the endpoint since the first model went live; failed: {calls['failed']}\n"
        f"{again['events']:,} events were delivered twice; "
        f"runs started twice for the same decision: {result['duplicate_starts']}"
    )


def _files(result: Json, batches: Sequence[Batch]) -> Table:
    table = _table("What came of the files", "what landed")
    for column in ("events", "reactions", "runs", "rows scored"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for batch in batches:
        mine = [r for r in result["reactions"] if r["key"] == batch.batch]
        table.add_row(
            batch.title,
            str(sum(r["events"] for r in mine)),
            str(len(mine)),
            str(sum(len(r["run_ids"]) for r in mine)),
            f"{batch.scored_rows:,}",
            ", ".join(sorted({r["state"] for r in mine})),
        )
    return table


def _models(result: Json) -> Table:
    table = _table("What came of the models", "version")
    table.add_column("trained because")
    for column in ("Accuracy", "live model's"):
        table.add_column(column, justify="right")
    table.add_column("became")
    for model in result["models"]:
        figures = model["metrics"]
        table.add_row(
            model["version"],
            model["tags"].get("relearn_reason", ""),
            _figure(figures.get("Accuracy")),
            _figure(figures.get("live.Accuracy")),
            fate(model),
        )
    return table


def fate(model: Json) -> str:
    """What became of a registered model, in a word or two."""
    if model["traffic"]:
        return "live"
    states = {rollout["state"] for rollout in model["rollouts"]}
    return "replaced" if "succeeded" in states else ", ".join(sorted(states)) or "nothing"


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
