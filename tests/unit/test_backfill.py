"""Backfill: the files of one rule, page by page, each once, whoever told of it before."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.backfill import PAGE, Backfill, BackfillPage
from shared.errors import NotPossible, NotThere, StorageUnavailable
from shared.memory import Remembered
from shared.ports import Removal
from shared.rules.patterns import PathPattern
from tests.fakes import T0, FakeLake, landed
from tests.world import World

DAY = timedelta(days=1)
RULES = """\
version: 1
reactions:
  score:
    when: {file-landed: {path: "lake/in/{batch}/*.csv", exclude: ["_*"]}}
    collect: {by: "{batch}"}
    run-pipeline: score
    with: {batch: "{batch}", files: "{manifest}"}
  other:
    when: {file-landed: {path: "lake/in/**/*.csv"}}
    run-pipeline: score
    with: {batch: "all"}
  note:
    when: {model-registered: {model: "*"}}
    run-pipeline: score
    with: {batch: "{model}"}
  silence:
    when: {file-overdue: {path: "lake/in/*.csv", expect: "every 24h"}}
    run-pipeline: score
    with: {batch: "{due}"}
"""


class Desk(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.clock.advance(timedelta(hours=1))

    @property
    def backfill(self) -> Backfill:
        return Backfill(
            rules=self.engine._rules,
            lake=self.lake,
            lanes=self.lanes,
            intake=self.intake,
            remembered=Remembered(archive=self.archive, clock=self.clock),
        )

    def page(self, continuation: str | None = None) -> BackfillPage:
        return self.backfill.page("score", T0, continuation)

    def whole(self) -> list[BackfillPage]:
        pages = [self.page()]
        while pages[-1].continuation is not None:
            pages.append(self.page(pages[-1].continuation))
        return pages

    def end(self) -> None:
        self.factory.end_all()
        while self.look_when_due(timedelta(minutes=20)):
            self.factory.end_all()


def desk() -> Desk:
    return Desk(rules=RULES)


def counts(page: BackfillPage) -> tuple[int, int, int, int, int]:
    return page.listed, page.matched, page.new, page.known, page.too_old


def test_files_are_taken_in_for_the_one_rule_and_become_one_batch() -> None:
    at = desk()
    for n in range(5):
        at.lake.put(f"in/b1/{n}.csv", etag=f"0x{n}")
    [page] = at.whole()
    assert counts(page) == (5, 5, 5, 0, 0)
    assert at.reactions() == []  # nobody looks while more may come
    at.end()
    [reaction] = at.reactions()
    assert (reaction.rule, reaction.key) == ("score", "b1")
    assert len(at.lanes.events_of(reaction.id)) == 5


def test_what_was_delivered_before_is_known_whether_or_not_a_reaction_took_it() -> None:
    at = desk()
    at.inline = False
    at.restart()
    for n in range(6):
        at.lake.put(f"in/b1/{n}.csv", etag=f"0x{n}")
    at.deliver(*(landed(f"in/b1/{n}.csv", etag=f"0x{n}") for n in range(2)))
    at.end()  # taken
    at.deliver(*(landed(f"in/b1/{n}.csv", etag=f"0x{n}") for n in range(2, 4)))  # pending
    [page] = at.whole()
    assert counts(page) == (6, 6, 2, 4, 0)
    [again] = at.whole()
    assert counts(again) == (6, 6, 0, 6, 0)


def test_a_file_that_is_delivered_afterwards_is_known_then() -> None:
    at = desk()
    at.lake.put("in/b1/a.csv", etag="0x1")
    at.whole()
    at.end()
    at.deliver(landed("in/b1/a.csv", etag="0x1"))
    at.end()
    assert [r.key for r in at.reactions() if r.rule == "score"] == ["b1"]


def test_only_what_is_the_rules_and_young_enough_is_matched() -> None:
    at = desk()
    at.lake.put("in/b1/a.csv")
    at.lake.put("in/b1/empty.csv", size=0)
    at.lake.put("in/b1/_SUCCESS.csv")
    at.lake.put("in/b1/deep/a.csv")
    at.lake.put("in/b1/a.txt")
    at.lake.put("in/b1/before.csv", modified=T0 - timedelta(seconds=1))
    at.lake.put("out/b1/a.csv")
    [page] = at.whole()
    assert counts(page) == (6, 1, 1, 0, 0)


def test_what_is_older_than_events_are_kept_is_left_out_and_counted() -> None:
    at = desk()
    at.clock.advance(30 * DAY)
    at.lake.put("in/b1/old.csv", modified=T0)
    at.lake.put("in/b1/young.csv", modified=T0 + 2 * DAY)
    [page] = at.whole()
    assert counts(page) == (2, 2, 1, 0, 1)


def test_what_was_removed_while_less_was_kept_is_left_out_as_well() -> None:
    at = desk()
    at.clock.advance(20 * DAY)
    at.archive.save(Removal(cutoff=T0 + 13 * DAY))
    at.lake.put("in/b1/old.csv", modified=T0 + 12 * DAY)
    at.lake.put("in/b1/young.csv", modified=T0 + 14 * DAY)
    [page] = at.whole()
    assert counts(page) == (2, 2, 1, 0, 1)


def test_pages_follow_each_other_through_every_account() -> None:
    at = desk()
    at.lake = FakeLake(("acc", "bcc", "ccc"))
    at.restart()
    for account, files in (("acc", PAGE + 3), ("ccc", 2)):
        for n in range(files):
            at.lake.put(f"in/b{n % 7}/{n:05}.csv", etag=f"0x{n}", account=account)
    pages = at.whole()
    assert [page.listed for page in pages] == [PAGE, 3, 0, 2]
    assert sum(page.new for page in pages) == PAGE + 5


def test_a_page_that_was_asked_for_twice_is_once() -> None:
    at = desk()
    for n in range(PAGE + 1):
        at.lake.put(f"in/b1/{n:05}.csv", etag=f"0x{n}")
    first, again = at.page(), at.page()
    assert (first.new, first.known, again.new, again.known) == (PAGE, 0, 0, PAGE)
    assert first.continuation == again.continuation
    assert at.page(again.continuation).new == 1


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("note", "rule 'note' waits for model-registered events"),
        ("silence", "rule 'silence' waits for file-overdue events"),
    ],
)
def test_a_rule_that_waits_for_no_files_is_refused(rule: str, why: str) -> None:
    with pytest.raises(NotPossible, match=why) as refused:
        desk().backfill.page(rule, T0)
    assert refused.value.todo == "only the files of a rule with file-landed can be listed"


def test_a_rule_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(NotThere, match="there is no rule 'nobody'") as refused:
        desk().backfill.page("nobody", T0)
    assert refused.value.todo == "there are note, other, score, silence"


@pytest.mark.parametrize("text", ["", "?", "WzAs", "WzUsIG51bGxd", "eyJhIjogMX0=", "W3RydWUsIG51bGxd", "WzAsIDFd", "é"])
def test_a_continuation_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(NotPossible, match="continuation"):
        desk().page(text)


def test_storage_that_is_down_is_told_and_the_page_can_be_asked_for_again() -> None:
    for call in range(1, 12):
        at = desk()
        for n in range(3):
            at.lake.put(f"in/b{n}/a.csv", etag=f"0x{n}")
        at.break_call(call, die=False)
        try:
            page = at.page()
        except StorageUnavailable:
            at.nothing_breaks()
            page = at.page()
        at.nothing_breaks()
        assert page.new + page.known == 3
        at.end()
        assert sorted(r.key for r in at.reactions()) == ["b0", "b1", "b2"], call


def test_a_burst_costs_a_call_or_two_for_each_file() -> None:
    at = desk()
    for n in range(200):
        at.lake.put(f"in/b1/{n:05}.csv", etag=f"0x{n}")
    before = at.storage.calls
    at.page()
    assert at.storage.calls - before <= 210


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("lake/in/{batch}/*.csv", "in/"),
        ("lake/in/part-*.csv", "in/part-"),
        ("lake/**/*.csv", ""),
        ("lake/in/a.csv", "in/a.csv"),
        ("lake/in/{batch}/stage/a.csv", "in/"),
        ("lake/in/x{batch}y/a.csv", "in/x"),
    ],
)
def test_the_list_begins_with_what_every_fitting_path_begins_with(pattern: str, prefix: str) -> None:
    assert PathPattern.parse(pattern).prefix == prefix
