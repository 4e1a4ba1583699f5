"""Who may start: pure decisions over permits, rates, queues and targets that are left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared import limits
from shared.limits import Blocked, Demand, Go
from shared.ports import Permit, Resource, Waiter
from shared.rules import Rate
from tests.fakes import T0

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
POOL = Demand(resource="resource:pool", limit=2)


def me(name: str = "me", since: datetime = T0, priority: int = 2, seen: datetime = T0) -> Waiter:
    return Waiter(name=name, priority=priority, since=since, seen=seen)


def held(*names: str) -> tuple[Permit, ...]:
    return tuple(Permit(reaction_id=name, since=T0) for name in names)


def pool(*holders: str, waiters: tuple[Waiter, ...] = ()) -> Resource:
    return Resource(name="resource:pool", permits=held(*holders), waiters=waiters)


def asked(resource: Resource, demand: Demand = POOL, who: Waiter | None = None, now: datetime = T0) -> Go | Blocked:
    return limits.decide([demand], {resource.name: resource}, who or me(), now)


# --- permits and queues -----------------------------------------------------------------------------------------------


def test_a_free_permit_is_granted_and_the_last_one_too() -> None:
    assert isinstance(asked(pool()), Go)
    assert isinstance(asked(pool("a")), Go)


def test_where_all_are_held_it_waits_says_why_and_stands_first() -> None:
    no = asked(pool("a", "b"))
    assert isinstance(no, Blocked)
    assert no.why == "resource:pool has 2 permit(s), all held or waited for"
    assert (no.queues, no.first, no.until) == (("resource:pool",), ("resource:pool",), T0 + limits.FIRST_LOOKS)


def test_the_holder_of_the_only_permit_is_named() -> None:
    no = asked(pool("a"), replace(POOL, limit=1))
    assert isinstance(no, Blocked)
    assert no.why == "resource:pool is held by reaction a"


def test_who_holds_one_already_goes_on_and_pays_nothing() -> None:
    demand = replace(POOL, rate=Rate(count=1, per=MINUTE))
    go = asked(replace(pool("a", "me"), full_at=T0 + MINUTE), demand)
    assert isinstance(go, Go)
    assert go.heads["resource:pool"].full_at == T0 + MINUTE


@pytest.mark.parametrize(
    ("waiter", "goes"),
    [
        pytest.param(me("w", since=T0 - SECOND), False, id="one that came earlier"),
        pytest.param(me("w", since=T0 + SECOND), True, id="one that came later"),
        pytest.param(me("w", since=T0 + SECOND, priority=1), False, id="one that is more urgent"),
        pytest.param(me("w", since=T0 - SECOND, priority=3), True, id="one that is less urgent"),
        pytest.param(me("a", since=T0), False, id="one of the same moment, by name"),
        pytest.param(me("w", since=T0 - SECOND, seen=T0 - limits.UNSEEN), True, id="one that nobody has seen for long"),
        pytest.param(me("w", since=T0 - SECOND, seen=T0 - limits.UNSEEN + SECOND), False, id="one just seen"),
    ],
)
def test_nobody_passes_those_who_are_before_them(waiter: Waiter, goes: bool) -> None:
    assert isinstance(asked(pool("a", waiters=(waiter,))), Go) is goes


def test_who_comes_later_takes_what_is_left_after_those_who_wait() -> None:
    waiter = me("w", since=T0 - SECOND)
    assert isinstance(asked(pool(waiters=(waiter,))), Go), "one of two is the other's"


def test_only_the_first_looks_often_and_for_what_was_left_behind() -> None:
    no = asked(pool("a", "b", waiters=(me("w", since=T0 - SECOND),)))
    assert isinstance(no, Blocked)
    assert (no.first, no.until) == ((), T0 + limits.OTHERS_LOOK)


def test_where_nobody_queues_one_looks_again_by_the_clock() -> None:
    no = asked(pool("a", "b"), replace(POOL, every=15 * SECOND))
    assert isinstance(no, Blocked)
    assert (no.queues, no.first, no.until) == ((), ("resource:pool",), T0 + 15 * SECOND)


# --- several at once --------------------------------------------------------------------------------------------------

RULE = Demand(resource="rule:r", limit=1)


def test_nothing_is_taken_of_any_where_one_says_no() -> None:
    free = Resource(name="rule:r")
    no = limits.decide([RULE, POOL], {"rule:r": free, "resource:pool": pool("a", "b")}, me(), T0)
    assert isinstance(no, Blocked)
    assert no.resource == "resource:pool"


def test_who_is_first_where_it_waits_keeps_its_place_everywhere() -> None:
    seen = {"rule:r": Resource(name="rule:r"), "resource:pool": pool("a", "b")}
    no = limits.decide([RULE, POOL], seen, me(), T0)
    assert isinstance(no, Blocked)
    assert no.queues == ("resource:pool", "rule:r")
    seen["resource:pool"] = pool("a", "b", waiters=(me("w", since=T0 - SECOND),))
    behind = limits.decide([RULE, POOL], seen, me(), T0)
    assert isinstance(behind, Blocked)
    assert behind.queues == ("resource:pool",), "others may use what it would only block"


# --- rates ------------------------------------------------------------------------------------------------------------

RATES = st.builds(
    Rate,
    count=st.integers(1, 7),
    per=st.sampled_from([SECOND, MINUTE, timedelta(hours=1), timedelta(days=1), timedelta(microseconds=10)]),
)


def test_a_full_bucket_gives_its_rate_at_once_and_then_one_by_one() -> None:
    rate, full_at = Rate(count=3, per=MINUTE), None
    for left in (3, 2, 1):
        assert limits.tokens(rate, full_at, T0) == left
        full_at = limits.charged(rate, full_at, T0)
    assert limits.tokens(rate, full_at, T0) == 0
    assert limits.next_token(rate, full_at, T0) == T0 + 20 * SECOND
    assert limits.next_token(rate, full_at, T0, ahead=2) == T0 + MINUTE
    assert limits.tokens(rate, full_at, T0 + 20 * SECOND) == 1
    assert limits.tokens(rate, full_at, T0 + MINUTE) == 3


def test_a_used_up_rate_says_until_when() -> None:
    demand = Demand(resource="rule:r", rate=Rate(count=1, per=MINUTE), holds=False)
    no = asked(Resource(name="rule:r", full_at=T0 + MINUTE), demand)
    assert isinstance(no, Blocked)
    assert (no.until, no.queues) == (T0 + MINUTE, ("rule:r",))
    assert "rule:r may start 1 in 0:01:00, which is used up" in no.why


def test_a_rate_that_was_raised_is_not_waited_for_by_the_old_one() -> None:
    assert limits.next_token(Rate(count=60, per=timedelta(hours=1)), T0 + timedelta(days=7), T0) <= T0 + MINUTE


@given(rate=RATES)
def test_a_token_never_comes_sooner_than_the_rate_says(rate: Rate) -> None:
    assert limits.interval(rate) * rate.count >= rate.per
    assert (limits.interval(rate) - timedelta(microseconds=1)) * rate.count < rate.per


@given(rate=RATES, steps=st.lists(st.integers(0, 60), max_size=60))
def test_no_window_has_more_starts_than_the_rate_and_a_full_bucket(rate: Rate, steps: list[int]) -> None:
    now, full_at, starts = T0, None, []
    for step in steps:
        now += rate.per * step / 100
        if limits.tokens(rate, full_at, now) > 0:
            full_at = limits.charged(rate, full_at, now)
            starts.append(now)
    for i, first in enumerate(starts):
        for j in range(i, len(starts)):
            grown = (starts[j] - first) / rate.per * rate.count
            assert j - i + 1 <= rate.count + grown + 1e-6


@given(rate=RATES, steps=st.lists(st.integers(0, 10**9), max_size=20), ahead=st.integers(0, 6))
def test_the_next_token_is_there_when_it_is_said_to_be_and_not_before(rate: Rate, steps: list[int], ahead: int) -> None:
    now, full_at = T0, None
    for step in steps:
        now += timedelta(microseconds=step)
        if limits.tokens(rate, full_at, now) > 0:
            full_at = limits.charged(rate, full_at, now)
    ahead = min(ahead, rate.count - 1)
    at = limits.next_token(rate, full_at, now, ahead)
    assert limits.tokens(rate, full_at, at) > ahead
    if at > now:
        assert limits.tokens(rate, full_at, at - timedelta(microseconds=1)) <= ahead


@given(rate=RATES, before=st.integers(-(10**9), 10**9), later=st.integers(0, 10**10))
def test_what_is_given_back_was_never_taken(rate: Rate, before: int, later: int) -> None:
    head = Resource(name="r", full_at=T0 + timedelta(microseconds=before))
    assume(limits.tokens(rate, head.full_at, T0) > 1)
    paid = replace(head, full_at=limits.charged(rate, head.full_at, T0))
    again = limits.refunded(replace(paid, cursor=T0, etag="x"), head, paid)
    assert again == replace(head, cursor=T0)
    after = T0 + timedelta(microseconds=later)
    assert limits.tokens(rate, again.full_at, after) == limits.tokens(rate, head.full_at, after)
    other = replace(paid, full_at=limits.charged(rate, paid.full_at, T0))
    assert limits.refunded(other, head, paid) is None, "somebody has started since: it is gone"


# --- targets ----------------------------------------------------------------------------------------------------------

FACTORY = Demand(resource="factory:adf", target=True)


def test_a_target_that_is_left_alone_is_waited_for_by_the_clock() -> None:
    target = Resource(name="factory:adf", failures=1, next_attempt=T0 + timedelta(hours=2))
    no = asked(target, FACTORY)
    assert isinstance(no, Blocked)
    assert (no.queues, no.first) == ((), ())
    assert T0 + timedelta(hours=2) <= no.until < T0 + timedelta(hours=2 * 1.2)


def test_the_first_after_it_tries_it_out_and_the_next_wait_for_what_comes_of_it() -> None:
    target = Resource(name="factory:adf", failures=1, next_attempt=T0)
    go = asked(target, FACTORY)
    assert isinstance(go, Go)
    assert go.probes == ("factory:adf",)
    head = go.heads["factory:adf"]
    no = asked(head, FACTORY, who=me("other"))
    assert isinstance(no, Blocked)
    assert T0 + limits.PROBE <= no.until < T0 + limits.PROBE * 1.2
    assert isinstance(asked(limits.recovered(head), FACTORY), Go)


def test_who_tries_it_out_goes_on_with_its_own_try() -> None:
    target = Resource(name="factory:adf", failures=1, next_attempt=T0)
    go = asked(target, FACTORY)
    assert isinstance(go, Go)
    granted = replace(go.heads["factory:adf"], permits=(Permit(reaction_id=me().name, since=T0, attempt=1),))
    again = asked(granted, FACTORY)
    assert isinstance(again, Go)
    assert again.probes == ("factory:adf",)


def test_a_start_that_was_to_try_it_out_and_was_none_leaves_that_to_the_next() -> None:
    target = Resource(name="factory:adf", failures=1, next_attempt=T0)
    go = asked(target, FACTORY)
    assert isinstance(go, Go)
    claimed = go.heads["factory:adf"]
    assert limits.refunded(replace(claimed, etag="x"), target, claimed) == target
    assert limits.refunded(limits.recovered(claimed), target, claimed) is None
    assert limits.refunded(limits.tripped(claimed, T0, "r", None, probe=True), target, claimed) is None


def test_waits_double_up_to_ten_minutes_and_what_is_advised_comes_first() -> None:
    target, now, waits = Resource(name="factory:adf"), T0, []
    for _ in range(7):
        target = limits.tripped(target, now, "r-1", None, probe=target.failures > 0)
        assert target.next_attempt is not None
        waits.append((target.next_attempt - now).total_seconds())
        now = target.next_attempt
    for wait, plain in zip(waits, (30, 60, 120, 240, 480, 600, 600), strict=True):
        assert plain <= wait < plain * 1.2
    advised = limits.tripped(target, now, "r-1", timedelta(seconds=7), probe=True)
    assert advised.next_attempt is not None
    assert 7 <= (advised.next_attempt - now).total_seconds() < 8.4


def test_starts_that_were_under_way_are_no_news_of_their_own() -> None:
    once = limits.tripped(Resource(name="factory:adf"), T0, "r-1", None, probe=False)
    twice = limits.tripped(once, T0 + SECOND, "r-2", timedelta(seconds=5), probe=False)
    assert (twice.failures, twice.next_attempt) == (1, once.next_attempt)
    longer = limits.tripped(once, T0 + SECOND, "r-2", timedelta(hours=1), probe=False)
    assert longer.next_attempt is not None
    assert longer.next_attempt >= T0 + timedelta(hours=1)


@given(name=st.text(max_size=20), turn=st.integers(0, 100))
def test_the_jitter_is_small_and_always_the_same(name: str, turn: int) -> None:
    assert 0 <= limits.jitter(name, turn) < 0.2
    assert limits.jitter(name, turn) == limits.jitter(name, turn)


def test_those_who_wait_alike_do_not_come_back_at_once() -> None:
    assert len({round(limits.jitter(f"r-{n}", 1), 6) for n in range(100)}) > 95


# --- everything together: a shop of resources, and time ---------------------------------------------------------------


class Shop:
    """Plays starts against `decide` as the ledger would: whoever is told to wait stands in the queues it is told."""

    def __init__(self, sizes: list[int]) -> None:
        self.now = T0
        self.demands = [Demand(resource=f"resource:{n}", limit=size) for n, size in enumerate(sizes)]
        self.resources = {d.resource: Resource(name=d.resource) for d in self.demands}
        self.waiting: dict[str, tuple[Waiter, tuple[int, ...]]] = {}
        self.running: dict[str, tuple[int, ...]] = {}
        self.order: list[str] = []

    def come(self, name: str, priority: int, needs: tuple[int, ...]) -> None:
        self.waiting[name] = (me(name, since=self.now, priority=priority), needs)
        self.look(name)

    def look(self, name: str) -> None:
        who, needs = self.waiting[name]
        who = replace(who, seen=self.now)
        verdict = limits.decide([self.demands[n] for n in needs], self.resources, who, self.now)
        queues = verdict.queues if isinstance(verdict, Blocked) else ()
        for resource, each in self.resources.items():
            others = tuple(w for w in each.waiters if w != who)
            mine = (who,) if resource in queues else ()
            queue = tuple(sorted((*others, *mine), key=lambda w: w.order))
            self.resources[resource] = replace(each, waiters=queue)
        if isinstance(verdict, Go):
            for n in needs:
                resource = f"resource:{n}"
                each = self.resources[resource]
                self.resources[resource] = replace(each, permits=(*each.permits, *held(name)))
            self.running[name] = needs
            self.order.append(name)
            del self.waiting[name]

    def end(self, name: str) -> None:
        del self.running[name]
        for resource, each in self.resources.items():
            left = tuple(p for p in each.permits if p.reaction_id != name)
            self.resources[resource] = replace(each, permits=left)

    def check(self) -> None:
        for demand in self.demands:
            assert len(self.resources[demand.resource].permits) <= (demand.limit or 0)


NEEDS = st.sets(st.integers(0, 2), min_size=1).map(lambda needs: tuple(sorted(needs)))
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(1, 3), NEEDS),
        st.tuples(st.just("end"), st.integers(0, 9), st.just(())),
        st.tuples(st.just("look"), st.integers(0, 9), st.just(())),
    ),
    max_size=60,
)


def play(shop: Shop, moves: list[tuple[str, int, tuple[int, ...]]]) -> None:
    for turn, (move, number, needs) in enumerate(moves):
        shop.now += SECOND
        if move == "come":
            shop.come(f"r{turn}", number, needs)
        elif move == "end" and shop.running:
            shop.end(sorted(shop.running)[number % len(shop.running)])
        elif move == "look" and shop.waiting:
            shop.look(sorted(shop.waiting)[number % len(shop.waiting)])
        shop.check()


@given(sizes=st.lists(st.integers(1, 3), min_size=3, max_size=3), moves=MOVES)
@settings(max_examples=200)
def test_no_limit_is_ever_exceeded_and_nobody_waits_for_ever(sizes: list[int], moves: list) -> None:
    shop = Shop(sizes)
    play(shop, moves)
    # Others keep coming for everything, less urgent or later; whoever waits now must all the same have its turn.
    wait = sorted(shop.waiting.values(), key=lambda each: each[0].order)
    for turn in range(40 * len(wait)):
        if not any(who.name in shop.waiting for who, _ in wait):
            break
        shop.now += SECOND
        for name in list(shop.running)[:1]:
            shop.end(name)
        shop.come(f"late{turn}", 3, (turn % 3,))
        for who, _ in wait:
            if who.name in shop.waiting:
                shop.look(who.name)
        shop.check()
    assert not [who.name for who, _ in wait if who.name in shop.waiting]


@given(size=st.integers(1, 3), moves=MOVES)
@settings(max_examples=200)
def test_of_one_resource_the_order_is_by_priority_and_then_by_time(size: int, moves: list) -> None:
    shop = Shop([size])

    def one(move: tuple[str, int, tuple[int, ...]]) -> tuple[str, int, tuple[int, ...]]:
        return move[0], move[1], (0,) if move[0] == "come" else ()

    for turn, (move, number, needs) in enumerate(map(one, moves)):
        shop.now += SECOND
        started = len(shop.order)
        ahead = {name: who for name, (who, _) in shop.waiting.items()}
        name = f"r{turn}"
        if move == "come":
            shop.come(name, number, needs)
        elif move == "end" and shop.running:
            shop.end(sorted(shop.running)[number % len(shop.running)])
        elif move == "look" and shop.waiting:
            name = sorted(shop.waiting)[number % len(shop.waiting)]
            shop.look(name)
        for new in shop.order[started:]:
            mine = ahead.get(new, me(new, since=shop.now, priority=number if move == "come" else 9))
            passed = [w.name for w in ahead.values() if w.order < mine.order and w.name != new]
            free = size - (len(shop.running) - 1)
            assert len(passed) < free, f"{new} passed {passed} with {free} free"
        shop.check()
