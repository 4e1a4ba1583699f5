"""Faults of one line each, and which tests are to notice. A text that does not fit exactly once ends the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

LEDGER: Final = "tests/contracts/test_ledger.py"
ENGINE: Final = "tests/unit/test_engine.py"
ADOPT: Final = "tests/unit/test_start_or_adopt.py"
LOOKS: Final = "tests/unit/test_looks.py"
STARTS: Final = "tests/unit/test_starts.py"
LIMITS: Final = "tests/unit/test_limits.py"
FOLLOWED: Final = "tests/unit/test_followed.py"
PROMISES: Final = "tests/promises/test_on_fakes.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks`: the number of the promise in docs/reliability.md. `tests`: files, the quickest first."""

    name: str
    breaks: int
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def misfit(self, root: Path = ROOT) -> str | None:
        """Why it cannot be planted; None if it can."""
        found = (root / self.file).read_text(encoding="utf-8").count(self.old)
        return None if found == 1 else f"{self.name}: the fault does not fit any more ({found} places in {self.file})"

    def plant(self, root: Path) -> None:
        file = root / self.file
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(self.old, self.new), encoding="utf-8")


MUTANTS: Final = (
    # 1: nothing accepted is lost
    Mutant(
        "an event is acknowledged although it is not in the ledger",
        1,
        "shared/intake.py",
        "        self.take(raw)\n",
        '        with __import__("contextlib").suppress(Exception): self.take(raw)\n',
        (ENGINE, PROMISES),
    ),
    Mutant(
        "an event is dropped from the manifest",
        1,
        "shared/cloud/manifest_blobs.py",
        "    for taken in events:\n        event = taken.pending.event\n",
        "    for taken in events[1:]:\n        event = taken.pending.event\n",
        ("tests/contracts/test_manifests.py",),
    ),
    Mutant(
        "a batch is the first 49 events only",
        1,
        "shared/claims.py",
        "rest = replace(lane, head=saved.head, pending=decision.events[len(first) :])",
        "rest = replace(lane, head=saved.head, pending=())",
        (ENGINE, "tests/unit/test_batches.py"),
    ),
    Mutant(
        "a claim goes on by a mark and not by what was there",
        1,
        "shared/claims.py",
        "of_batch = [e for e in lane.pending if until is None or e.accepted <= until]",
        "of_batch = [e for e in lane.pending if until is None or e.accepted < until]",
        (ENGINE, "tests/unit/test_batches.py"),
    ),
    Mutant(
        "the neighbours of a duplicate are lost in a group commit",
        1,
        "shared/cloud/lane_table.py",
        "created = len(rest) < len(new) and (not rest or self._created(rest))",
        "created = len(rest) < len(new)",
        ("tests/contracts/test_group_commit.py",),
    ),
    Mutant(
        "the head is saved whatever it has become meanwhile",
        1,
        "shared/cloud/lane_table.py",
        'return "update", row, {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.'
        "IfNotModified}",
        'return "update", row, {"mode": UpdateMode.REPLACE}',
        (LEDGER,),
    ),
    Mutant(
        "retention removes young identities",
        1,
        "shared/retention.py",
        "return (now - retention - MARGIN).replace(",
        "return (now - retention / 2).replace(",
        ("tests/unit/test_retention.py",),
    ),
    Mutant(
        "who gave way has no successor",
        1,
        "shared/steps.py",
        "inherits = final.seq if gives_way else step.head.inherits",
        "inherits = step.head.inherits",
        ("tests/unit/test_replacing.py", PROMISES),
    ),
    # 2: twice is once
    Mutant(
        "an event that is there already is an error",
        2,
        "shared/cloud/lane_table.py",
        "                if not _names_the_row(error):\n",
        "                if _names_the_row(error):\n",
        (LEDGER,),
    ),
    Mutant(
        "a late duplicate is not looked for before a running reaction gives way",
        2,
        "shared/replacing.py",
        "known = self._lanes.taken(lane.id, [event.id for event in decision.events])",
        "known: frozenset[str] = frozenset()",
        ("tests/unit/test_replacing.py", PROMISES),
    ),
    Mutant(
        "a late duplicate is not dropped",
        2,
        "shared/engine.py",
        "self._lanes.drop_pending(lane, known.event_ids)",
        "pass",
        (ENGINE, PROMISES),
    ),
    Mutant(
        "the manifest may be written once more",
        2,
        "shared/cloud/manifest_blobs.py",
        "                    match_condition=MatchConditions.IfMissing,\n",
        "",
        ("tests/contracts/test_manifests.py",),
    ),
    Mutant(
        "files are told apart by their path alone",
        2,
        "shared/events/values.py",
        'return _joined("file", event.account, event.container, event.path, event.etag)',
        'return _joined("file", event.account, event.container, event.path)',
        ("tests/unit/test_events.py",),
    ),
    # 3: started once per attempt
    Mutant(
        "a start is repeated by the client",
        3,
        "shared/cloud/data_factory.py",
        "_NEVER_REPEATED: Final = 0\n",
        "_NEVER_REPEATED: Final = 3\n",
        ("tests/contracts/test_data_factory.py",),
    ),
    Mutant(
        "a run is adopted whose stamp is another's",
        3,
        "shared/runs/starting.py",
        "ours = oldest_first(run for run in runs if run.stamp == stamp_of(reaction))",
        "ours = oldest_first(runs)",
        (ADOPT,),
    ),
    Mutant(
        "a job is adopted whose tag is another's",
        3,
        "shared/jobs/starting.py",
        "if found.reaction != step.reaction.id:",
        "if found.reaction is None:",
        ("tests/unit/test_run_job.py",),
    ),
    Mutant(
        "a start is sent without its intent being saved",
        3,
        "shared/steps.py",
        "        return self._steps.save(step, starting, list_later=True)\n",
        "        return replace(step, reaction=starting)\n",
        (ADOPT, PROMISES),
    ),
    Mutant(
        "a start is sent after its deadline",
        3,
        "shared/steps.py",
        "if reaction.intent is None or now >= reaction.intent.deadline:",
        "if reaction.intent is None:",
        (ADOPT, PROMISES),
    ),
    Mutant(
        "a start in doubt is sent again at once",
        3,
        "shared/runs/starting.py",
        "if queries < len(DOUBT_QUERIES) and intent.doubt_since is not None:",
        "if queries < 1 and intent.doubt_since is not None:",
        (ADOPT, PROMISES),
    ),
    Mutant(
        "of two runs the older is cancelled",
        3,
        "shared/runs/duplicates.py",
        "kept, *younger = runs\n",
        "*younger, kept = runs\n",
        (ADOPT,),
    ),
    Mutant(
        "every attempt has the stamp of the first",
        3,
        "shared/runs/starting.py",
        'stamp = {"reaction_id": reaction.id, "attempt": str(reaction.attempt)}',
        'stamp = {"reaction_id": reaction.id, "attempt": "1"}',
        (ADOPT, PROMISES),
    ),
    # 4: limits hold
    Mutant(
        "a permit is granted whatever has been granted meanwhile",
        4,
        "shared/cloud/permit_table.py",
        'condition = {"etag": resource.etag, "match_condition": MatchConditions.IfNotModified}',
        "condition: dict[str, Any] = {}",
        (LEDGER,),
    ),
    Mutant(
        "Retry-After is not heeded",
        4,
        "shared/limits.py",
        "wait = max(advised, timedelta(seconds=1)) if advised is not None else own",
        "wait = own",
        (LIMITS, STARTS),
    ),
    Mutant(
        "Retry-After is not read",
        4,
        "shared/cloud/targets.py",
        'advised = headers.get("Retry-After", "")',
        'advised = headers.get("Retry-Later", "")',
        ("tests/contracts/test_data_factory.py",),
    ),
    Mutant(
        "a bucket fills twice as fast",
        4,
        "shared/limits.py",
        "return -(-rate.per // rate.count)",
        "return -(-rate.per // (2 * rate.count))",
        (LIMITS,),
    ),
    Mutant(
        "one more than the limit may start",
        4,
        "shared/limits.py",
        "if free is not None and free <= before:",
        "if free is not None and free < before:",
        (LIMITS, PROMISES),
    ),
    Mutant(
        "a run that takes too long goes on outside",
        4,
        "shared/runs/watching.py",
        "            cancelled = self._cancel_run(reaction)\n",
        "            cancelled = _CANCELLED\n",
        (ADOPT, PROMISES),
    ),
    # 5: nothing sticks
    Mutant(
        "what a reaction held is never let go",
        5,
        "shared/engine.py",
        "        self._movers.release(over)\n",
        "",
        (STARTS, PROMISES),
    ),
    Mutant(
        "a lane is not looked at again when its reaction has ended",
        5,
        "shared/engine.py",
        "                return _Stepped(over=over)\n",
        "                return _Stepped(done=True, over=over)\n",
        (ENGINE, PROMISES),
    ),
    Mutant(
        "the due row is deleted whatever it has become meanwhile",
        5,
        "shared/cloud/due_table.py",
        "self._table.delete_entity(_partition(due.key), due.key, etag=due.etag, match_condition=unchanged)",
        "self._table.delete_entity(_partition(due.key), due.key)",
        (LEDGER,),
    ),
    Mutant(
        "the sweep passes over what is overdue",
        5,
        "shared/looks.py",
        "if due.at <= now or not due.waked:",
        "if not due.waked:",
        (LOOKS, PROMISES),
    ),
    Mutant(
        "poisoned wake-ups are dropped",
        5,
        "shared/cloud/wake_up_queue.py",
        "                        revive(key)\n",
        "",
        ("tests/contracts/test_wake_ups.py",),
    ),
    Mutant(
        "wake-ups expire after a week",
        5,
        "shared/cloud/wake_up_queue.py",
        "time_to_live=-1",
        "time_to_live=604800",
        ("tests/contracts/test_wake_ups.py",),
    ),
    Mutant(
        "an event that is known makes sure of no look",
        5,
        "shared/intake.py",
        "        if not self._look_now(lane):\n",
        "        if new and not self._look_now(lane):\n",
        ("tests/unit/test_dead_letters.py", ENGINE, PROMISES),
    ),
    Mutant(
        "processes that are wrong about a row make each other look for ever",
        5,
        "shared/looks.py",
        "            self._written.take(key)\n",
        "",
        (LOOKS,),
    ),
    Mutant(
        "a late look believes the permits that it remembers",
        5,
        "shared/following.py",
        "due, known = taken, None",
        "due = taken",
        (FOLLOWED,),
    ),
    Mutant(
        "a permit is freed and its lane left alone",
        5,
        "shared/starts.py",
        """                self._look_soon(permit.reaction_id.rpartition("-")[0])\n                if self._permits""",
        "                if self._permits",
        (FOLLOWED,),
    ),
    Mutant(
        "a lane is not read again after its row was written anew",
        5,
        "shared/engine.py",
        "            read = self._lanes.read(over.lane)\n        self._movers",
        "        self._movers",
        (FOLLOWED,),
    ),
    Mutant(
        "a look before its time removes the row",
        5,
        "shared/looks.py",
        "early and (at is None or due.at < at)",
        "early and at is not None and due.at < at",
        (FOLLOWED,),
    ),
    Mutant(
        "who gives up as his turn comes hands it on to nobody",
        5,
        "shared/group_commit.py",
        "                    self._hand_over(place, found)\n            twins",
        "                    pass\n            twins",
        ("tests/unit/test_group_commit.py",),
    ),
    Mutant(
        "a twin of one that was left open is told that it is known",
        1,
        "shared/group_commit.py",
        "_Alone() if verdict is None else False if verdict is True else verdict)",
        "False if verdict is None or verdict is True else verdict)",
        ("tests/unit/test_group_commit.py",),
    ),
    # 6: everything is explained; final states never change
    Mutant(
        "a reaction that has failed may begin again",
        6,
        "shared/reactions.py",
        "    State.FAILED: frozenset(),\n",
        "    State.FAILED: frozenset({State.PENDING}),\n",
        ("tests/unit/test_reactions.py",),
    ),
    Mutant(
        "a failure is not told",
        6,
        "shared/steps.py",
        "final, head=True, tell=notifications.of_end(final))",
        "final, head=True)",
        ("tests/unit/test_outbox.py", PROMISES),
    ),
    Mutant(
        "a reaction is not listed whose process died at its start",
        6,
        "shared/steps.py",
        "reaction=reaction, listed=not begun)",
        "reaction=reaction, listed=True)",
        (FOLLOWED, PROMISES),
    ),
    Mutant(
        "what came while a reaction ran is judged by when somebody looks",
        6,
        "shared/decisions/__init__.py",
        "return event.accepted >= head.claimed and (head.ended is None or event.accepted < head.ended)",
        "return event.accepted >= head.claimed and head.ended is None",
        ("tests/unit/test_decisions.py",),
    ),
    Mutant(
        "everybody who wants a look that is late sends a wake-up of his own",
        5,
        "shared/looks.py",
        "        if not self._will_be_looked_at(key, at):\n            self.wake(key, at)\n\n    def take_over",
        "        self.wake(key, at)\n\n    def take_over",
        (LOOKS, "tests/unit/test_followed.py"),
    ),
    Mutant(
        "a late look at the factory is made by every process that is woken",
        5,
        "shared/following.py",
        "if self._clock.now() - due.at > LATE:",
        "if False:",
        ("tests/unit/test_followed.py",),
    ),
    Mutant(
        "a look before its time moves the row on",
        5,
        "shared/looks.py",
        "(at is None or due.at < at)",
        "(at is None or due.at == at)",
        (LOOKS,),
    ),
)
