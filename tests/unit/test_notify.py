"""A rule's `notify`: its text reaches the topic once, in the transaction that ends its reaction."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import TargetUnavailable
from tests.fakes import landed
from tests.world import World

RULES = """\
version: 1
reactions:
  tell:
    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}
    collect: {by: "{batch}"}
    notify: "batch {batch} has come with {count} file(s)"
"""


@pytest.mark.parametrize("copies", [1, 2], ids=["once", "delivered_twice"])
def test_the_text_is_told_once(copies: int) -> None:
    world = World(rules=RULES)
    world.deliver(*[landed("in/b1/a.csv")] * copies)
    world.settle()
    [reaction] = world.reactions()
    [told] = world.notifier.published.values()
    assert (str(reaction.state), world.story(reaction)) == ("succeeded", ["pending", "succeeded"])
    assert (told.kind, told.subject) == ("Relearn.Notice", f"reactions/{reaction.id}")
    assert told.data["text"] == "batch b1 has come with 1 file(s)"
    assert (told.data["rule"], told.data["key"], told.data["state"]) == ("tell", "b1", "succeeded")
    assert world.due.rows == {}


def test_without_a_topic_it_fails_and_says_what_to_do() -> None:
    world = World(rules=RULES, topic=False)
    world.deliver(landed("in/b1/a.csv"))
    world.settle()
    [reaction] = world.reactions()
    assert str(reaction.state) == "failed"
    assert "set RELEARN_EVENTS_TOPIC_ENDPOINT" in reaction.reason
    assert world.notifier.published == {}


def test_a_topic_that_is_out_holds_up_nothing_and_is_told_in_the_end() -> None:
    world = World(rules=RULES)
    down = [True]

    def hook() -> None:
        if down[0]:
            raise TargetUnavailable("503")

    world.notifier.hook = hook
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["succeeded"]
    assert world.notifier.published == {}
    down[0] = False
    world.settle()
    assert world.notifier.kinds == ["Notice"]


def test_whatever_call_a_process_dies_at_it_is_told_once() -> None:
    clean = World(rules=RULES)
    clean.deliver(landed("in/b1/a.csv"))
    clean.settle()
    for at in range(1, clean.storage.calls + 1):
        world = World(rules=RULES)
        world.break_call(at, die=True)
        world.survive(lambda world=world: world.deliver(landed("in/b1/a.csv")))  # type: ignore[misc]
        world.survive(world.settle)
        assert (world.states(), world.notifier.kinds) == (["succeeded"], ["Notice"]), at


def test_it_may_name_the_manifest_and_what_is_live() -> None:
    world = World(rules=RULES.replace("{count} file(s)", "{manifest} for {live:ep-live}"))
    world.workspace.endpoints["ep-live"] = {}
    world.deliver(landed("in/b1/a.csv"))
    assert world.states() == ["pending"]
    model = world.workspace.register("clf", "3")
    world.workspace.serve("ep-live", "blue", model.ref)
    world.settle(within=timedelta(minutes=2))
    [reaction] = world.reactions()
    [told] = world.notifier.published.values()
    assert told.data["text"] == f"batch b1 has come with {reaction.manifest_url} for {model.asset}"
    assert reaction.id in world.manifests.written


def test_each_batch_is_told_by_itself() -> None:
    world = World(rules=RULES)
    world.deliver(landed("in/b1/a.csv"), landed("in/b2/a.csv"), landed("in/b1/b.csv"))
    world.settle()
    assert [told.data["key"] for told in world.notifier.published.values()] == ["b1", "b2", "b1"]


def test_a_rules_rate_holds_for_notices() -> None:
    world = World(rules=RULES + "    limits: {start-rate: 2/h}\n")
    world.deliver(*(landed(f"in/b{n}/a.csv") for n in range(4)))
    assert sorted(world.states()) == ["pending", "pending", "succeeded", "succeeded"]
    world.settle()
    assert (world.states(), len(world.notifier.published)) == (["succeeded"] * 4, 4)


def test_it_is_shown_with_its_text() -> None:
    world = World(rules=RULES)
    world.deliver(landed("in/b1/a.csv"))
    [reaction] = world.reactions()
    told = world.queries.reaction(reaction.id)
    assert told is not None
    run = told["run"]
    assert isinstance(run, dict)
    assert (run["kind"], run["text"]) == ("notice", "batch b1 has come with 1 file(s)")
