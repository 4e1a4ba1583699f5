"""The account of a soak, drawn up from outside: the lake's listing, manifests, skip records, the factory's record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from shared.lanes import SkipReason
from shared.reactions import State
from tests.processes.evidence import Evidence, Version, most_at_once
from tests.soak.plan import PERMITS, SKIPPING, rules_of

Due = tuple[str, Version]
"""One version of a file, by a rule that matches it: it has to be in one batch of that rule, or skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of every file, and of every limit.

    Attributes:
        lost: what is in the lake and neither in the manifest of a run that was started nor skipped.
        twice: what is in more than one of them.
        unknown: what is in one of them and not in the lake.
        skipped_wrongly: those of the skipped whose rule does not say so, or that were skipped for another reason.
    """

    lost: tuple[Due, ...]
    twice: tuple[Due, ...]
    unknown: tuple[Due, ...]
    manifest_events: int
    skipped: int
    skipped_wrongly: int
    reactions: Counter[str]
    runs: int
    duplicate_starts: int
    pending_events: int
    runs_not_over: int
    most_of_pool: int
    most_of_a_lane: int

    def problems(self) -> list[str]:
        """What is not as it was promised."""
        found = {
            "lost": len(self.lost),
            "in two batches": len(self.twice),
            "in no lake": len(self.unknown),
            "started twice": self.duplicate_starts,
            "still pending": self.pending_events,
            "runs that are not over": self.runs_not_over,
            "reactions that have not succeeded": sum(
                n for state, n in self.reactions.items() if state != State.SUCCEEDED
            ),
            "skipped for no good reason": self.skipped_wrongly,
            f"runs beyond the {PERMITS} permits of the pool": max(self.most_of_pool - PERMITS, 0),
            "runs beyond the one of a lane": max(self.most_of_a_lane - 1, 0),
        }
        return [f"{count} {what}" for what, count in found.items() if count]

    def as_json(self) -> dict[str, Any]:
        return {
            "reactions": sum(self.reactions.values()),
            "manifest_events": self.manifest_events,
            "lost": len(self.lost),
            "duplicate_starts": self.duplicate_starts,
            "skipped": self.skipped,
            "in_two_batches": len(self.twice),
            "states": dict(self.reactions),
            "runs": self.runs,
            "most_runs_of_the_pool": self.most_of_pool,
            "most_runs_of_a_lane": self.most_of_a_lane,
            "examples_of_lost": [f"{rule}: {path}" for rule, (path, _) in self.lost[:20]],
        }


def draw_up(evidence: Evidence) -> Account:
    due = {(rule, version) for version in evidence.files() for rule in rules_of(version[0])}
    started = {start.reaction for start in evidence.starts()}
    manifests = [manifest for manifest in evidence.manifests() if manifest.reaction in started]
    told = Counter((manifest.rule, version) for manifest in manifests for version in manifest.versions)
    manifest_events = told.total()
    skipped = evidence.skipped()
    told.update((rule, version) for rule, version, _ in skipped)
    runs = evidence.runs()
    lanes: dict[tuple[str, object], list[Any]] = {}
    for run in runs:
        lanes.setdefault((run.pipeline, run.parameters["batch"]), []).append((run.start, run.end))
    return Account(
        lost=tuple(sorted(due - told.keys())),
        twice=tuple(sorted(each for each, count in told.items() if count > 1)),
        unknown=tuple(sorted(told.keys() - due)),
        manifest_events=manifest_events,
        skipped=len(skipped),
        skipped_wrongly=sum((rule, why) != (SKIPPING, SkipReason.WHILE_RUNNING) for rule, _, why in skipped),
        reactions=evidence.reactions(),
        runs=len(runs),
        duplicate_starts=evidence.duplicate_starts(),
        pending_events=evidence.pending_events(),
        runs_not_over=sum(not run.is_final for run in runs),
        most_of_pool=most_at_once((run.start, run.end) for run in runs if run.pipeline == "pool"),
        most_of_a_lane=max((most_at_once(spans) for spans in lanes.values()), default=0),
    )
