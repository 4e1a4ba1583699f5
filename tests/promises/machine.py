"""The machine that tries the promises: whatever may happen, in any order. Hypothesis chooses, and shortens what fails.

Deliveries, duplicates, late ones, looks in any order and at once, sweeps, deaths, throttling, lost answers, slow calls,
clocks that disagree, runs that end in any way or are shown late, people who stop and cancel, rules that change.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.ports import RunStatus
from tests.fakes import landed
from tests.promises import invariants
from tests.promises.calls import Mood, Trouble
from tests.promises.ledgers import Ledger, fake_ledger
from tests.promises.rules import RulesText, rules_texts
from tests.promises.world import SWEEP, World

PROCESSES = 3
ROUNDS_AT_MOST = 1500
STORY = 60
"""So much is told of what led to a broken promise."""
BATCHES = st.sampled_from(["b1", "b2", "b3"])
FILES = st.integers(0, 3)
VERSIONS = st.integers(1, 3)
PROCESS = st.integers(0, PROCESSES - 1)
SKEW = st.sampled_from([-2, -1, 0, 0, 1, 2])
NUMBER = st.integers(0, 40)
TROUBLE = st.sampled_from([trouble for trouble in Trouble if trouble is not Trouble.SLOW])
ENDS = st.sampled_from([RunStatus.SUCCEEDED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED])
ACT = st.sampled_from(["deliver", "deliver", "look", "look", "look", "sweep"])


class Promises(RuleBasedStateMachine):
    """`totals`: what was done in all examples of the run; `check_every`: after so many steps the promises are asked."""

    totals: ClassVar[Counter[str]]
    check_every: ClassVar[int] = 1

    def new_ledger(self) -> Ledger:
        return fake_ledger()

    @initialize(text=rules_texts(), skews=st.lists(SKEW, min_size=PROCESSES, max_size=PROCESSES))
    def begin(self, text: RulesText, skews: list[int]) -> None:
        note(text.to_text())
        self.world = World(text=text, ledger=self.new_ledger(), skews=skews)
        self.memory = invariants.Memory()
        self.steps = 0

    # --- events -------------------------------------------------------------------------------------------------------

    @rule(batch=BATCHES, file=FILES, version=VERSIONS, process=PROCESS, times=st.sampled_from([1, 1, 2, 3]))
    def a_file_lands(self, batch: str, file: int, version: int, process: int, times: int) -> None:
        for each in range(times):
            self._deliver(batch, file, version, (process + each) % PROCESSES)
        self.world.counts["duplicates"] += times - 1

    def _deliver(self, batch: str, file: int, version: int, process: int) -> None:
        event = landed(f"in/{batch}/{file}.csv", etag=f"0x{version}", time=self.world.clock.now())
        self.world.counts["deliveries"] += 1
        self.world.deliver(process, event)

    @rule(batch=BATCHES, files=st.lists(FILES, min_size=2, max_size=4), seconds=st.sampled_from([1, 40, 130]))
    def files_follow_each_other(self, batch: str, files: list[int], seconds: int) -> None:
        for file in files:
            self._deliver(batch, file, 9, file % PROCESSES)
            self.world.clock.advance(timedelta(seconds=seconds))
            self._look(0, 0, twice=False)

    @precondition(lambda self: self.world.delivered)
    @rule(which=NUMBER, process=PROCESS)
    def an_event_comes_once_more(self, which: int, process: int) -> None:
        """However late, and out of order."""
        self.world.counts["duplicates"] += 1
        self.world.deliver(process, self.world.delivered[which % len(self.world.delivered)])

    @precondition(lambda self: self.world.unanswered)
    @rule(which=NUMBER, process=PROCESS)
    def event_grid_tries_again(self, which: int, process: int) -> None:
        self.world.deliver(process, self.world.unanswered.pop(which % len(self.world.unanswered)))

    # --- looks --------------------------------------------------------------------------------------------------------

    @rule(picks=st.lists(NUMBER, min_size=1, max_size=6), process=PROCESS, twice=st.booleans())
    def looks_are_made(self, picks: list[int], process: int, twice: bool) -> None:
        for pick in picks:
            self._look(pick, process, twice=twice)

    def _look(self, pick: int, process: int, *, twice: bool) -> None:
        messages = self.world.queue.visible()
        if messages:
            self.world.counts["looks"] += 1
            self.world.look(process, messages[pick % len(messages)], twice=twice)

    @rule(process=PROCESS, seconds=st.sampled_from([5, 35, 130]), status=ENDS)
    def some_time_goes_by_as_usual(self, process: int, seconds: int, status: RunStatus) -> None:
        """What can be seen in the queue is looked at, runs end, and that is looked at, too."""
        for _ in range(3):
            self.world.clock.advance(timedelta(seconds=seconds))
            for _ in range(min(len(self.world.queue.visible()), 8)):
                self._look(0, process, twice=False)
            self.world.end_runs(status)

    @rule(process=PROCESS)
    def the_sweep_runs(self, process: int) -> None:
        self.world.sweep(process)

    @rule(
        acts=st.lists(st.tuples(ACT, NUMBER), min_size=2, max_size=PROCESSES),
        batch=BATCHES,
        order=st.lists(st.integers(0, 5), min_size=3, max_size=30),
    )
    def several_act_at_once(self, acts: list[tuple[str, int]], batch: str, order: list[int]) -> None:
        """Each in a process of its own; `order` says who goes on before each call."""
        self.world.counts["acts at once"] += len(acts)
        self.world.at_once(
            [(i, lambda i=i, act=act: self._one_act(i, *act, batch)) for i, act in enumerate(acts)], order
        )

    def _one_act(self, process: int, act: str, number: int, batch: str) -> None:
        if act == "deliver":
            self._deliver(batch, number % 3, 1 + number % 2, process)
        elif act == "look":
            # The same message may be in two hands: its visibility timeout was over before the first was done.
            self._look(number, process, twice=False)
        else:
            self.world.sweep(process)

    # --- trouble ------------------------------------------------------------------------------------------------------

    @rule(near=st.lists(st.tuples(st.integers(1, 40), TROUBLE), min_size=1, max_size=3))
    def trouble_is_near(self, near: list[tuple[int, Trouble]]) -> None:
        for calls, trouble in near:
            self.world.calls.plan(calls, trouble)

    @rule(calls=st.integers(1, 40), seconds=st.sampled_from([3, 20, 40]))
    def a_call_will_be_slow(self, calls: int, seconds: int) -> None:
        self.world.calls.plan(calls, Trouble.SLOW, seconds)

    @rule(calls=st.integers(1, 10), length=st.sampled_from([3, 10, 40]))
    def everything_is_throttled_for_a_while(self, calls: int, length: int) -> None:
        for number in range(length):
            self.world.calls.plan(calls + number, Trouble.THROTTLED)

    @precondition(lambda self: self.world.queue.messages)
    @rule(which=NUMBER)
    def the_host_gives_a_wake_up_up(self, which: int) -> None:
        """Each process that took it died over it."""
        self.world.queue.give_up(self.world.queue.messages[which % len(self.world.queue.messages)])

    @rule(starts=st.sampled_from(Mood), questions=st.sampled_from([Mood.WELL, Mood.WELL, Mood.BUSY, Mood.LOST]))
    def the_targets_are_in_a_mood(self, starts: Mood, questions: Mood) -> None:
        self.world.calls.starts, self.world.calls.questions = starts, questions

    @rule(seconds=st.sampled_from([0, 0, 20, 100]))
    def what_is_started_is_shown_late(self, seconds: int) -> None:
        self.world.show_after(timedelta(seconds=seconds))

    @rule(index=PROCESS, skew=SKEW)
    def a_process_is_replaced(self, index: int, skew: int) -> None:
        """By one whose clock may be behind that of the one before."""
        self.world.replace_worker(index, skew)

    @rule(seconds=st.sampled_from([1, 20, 45, 130, 700, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    # --- outside ------------------------------------------------------------------------------------------------------

    @rule(status=ENDS, which=st.one_of(st.none(), NUMBER))
    def runs_end(self, status: RunStatus, which: int | None) -> None:
        self.world.end_runs(status, which)

    @rule(process=PROCESS, which=st.sampled_from([None, "a", "b"]))
    def somebody_stops_a_rule(self, process: int, which: str | None) -> None:
        self.world.pause(process, which)

    @rule(process=PROCESS, which=st.sampled_from([None, "a", "b"]))
    def somebody_lets_it_go_on(self, process: int, which: str | None) -> None:
        self.world.resume(process, which)

    @rule(process=PROCESS, which=NUMBER)
    def somebody_cancels(self, process: int, which: int) -> None:
        there = self.world.reactions()
        if there:
            self.world.cancel(process, there[-1 - which % len(there)].id)

    @rule(text=rules_texts(), first=PROCESS)
    def the_rules_change(self, text: RulesText, first: int) -> None:
        """One process after the other is replaced; the others go on by the rules that they know."""
        note(text.to_text())
        self.world.deploy(text)
        self.world.replace_worker(first)

    # --- promises -----------------------------------------------------------------------------------------------------

    @invariant()
    def the_promises_hold(self) -> None:
        if not hasattr(self, "world"):
            return
        self.steps += 1
        if self.steps % self.check_every == 0:
            for promise in invariants.ALWAYS:
                promise(self.world, self.memory)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            calm_down(self.world)
            for promise in invariants.THE_END:
                promise(self.world, self.memory)
        except AssertionError:
            note("\n".join(self.world.story[-STORY:]))
            raise
        finally:
            self._count()
            self.world.ledger.close()

    def _count(self) -> None:
        world = self.world
        self.totals.update(world.counts + world.calls.counts)
        self.totals.update(
            {
                "examples": 1,
                "steps": self.steps,
                "reactions": len(world.reactions()),
                "starts": len(world.started),
                "wake-ups poisoned": world.queue.poisoned,
            }
        )


def calm_down(world: World) -> None:
    """All is well from now on, and only what the product does by itself happens: sweeps, and looks at messages."""
    world.calls.all_is_well()
    world.show_after(timedelta(0))
    for index in range(len(world.workers)):
        world.replace_worker(index)
    while world.unanswered:
        world.deliver(0, world.unanswered.pop())
    for what in (None, "a", "b", "c"):
        world.resume(0, what)
    for _ in range(ROUNDS_AT_MOST):
        assert world.sweep(0)
        _until_next_sweep(world)
        late = [due for due in world.due() if due.at <= world.clock.now() - SWEEP]
        assert not late, f"a whole sweep has gone by, and nobody looked: {late}"
        if not world.due() and not world.queue.messages:
            return
    raise AssertionError(f"it never calms down: {world.due()} {[str(r) for r in world.reactions() if not r.final]}")


def _until_next_sweep(world: World) -> None:
    ends = world.clock.now() + SWEEP
    for number in range(ROUNDS_AT_MOST):
        world.end_runs(RunStatus.SUCCEEDED)
        messages = sorted(world.queue.messages, key=lambda message: message.visible)
        if not messages or messages[0].visible > ends:
            world.clock.advance_to(_next_sweep_of_interest(world, ends))
            return
        world.clock.advance_to(messages[0].visible)
        world.look(number % len(world.workers), messages[0])
    raise AssertionError(f"looks without an end: {Counter(message.key for message in world.queue.messages)}")


def _next_sweep_of_interest(world: World, ends: datetime) -> datetime:
    """Sweeps that would find nothing due are left out."""
    due, messages = world.due(), world.queue.messages
    first = min([row.at for row in due] + [message.visible for message in messages], default=ends)
    return max(ends, ends + (first - ends) // SWEEP * SWEEP)
