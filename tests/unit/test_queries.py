"""Lists of reactions: however many there are, a call has an end, and says where it did not get to the list's."""

from __future__ import annotations

from shared.queries import LOOKED_AT
from tests.unit.test_replays import ended


def test_a_list_tells_whether_it_is_complete() -> None:
    world = ended(3)
    now = world.clock.now()
    for top, count in ((100, 3), (3, 3), (2, 2)):
        found = world.queries.reactions(now=now, top=top)
        assert (len(found.reactions), found.complete) == (count, True)
    assert world.queries.reactions(now=now, rule="nobodys").complete
    [listed, *_] = world.recent.listed.values()
    world.recent.listed = {f"{number:024x}-1": listed for number in range(LOOKED_AT + 1)}
    found = world.queries.reactions(now=now, rule="nobodys")
    assert (found.reactions, found.complete) == ([], False)
