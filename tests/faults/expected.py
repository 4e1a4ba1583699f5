"""What every fault on every route must lead to. Written by hand, and compared with what is played.

A row is a route: in which story it is met, whose client asks, why it ends as it does; the cell that most faults lead
to, and those that lead to another. A fault is met by one call, with all repeats that its client makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tests.faults.faults import FAULTS, ONE_OF_EACH_KIND


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is to be seen in the end.

    Attributes:
        states: of the reactions.
        refused: why an event was not taken.
        delivered: how often the event was delivered until that was acknowledged: 2 where it was not at first.
        failed_looks: how often a look raised, so that its message comes again.
        sent: requests to start something outside.
        effects: what there is outside for them.
        waits: seconds, from and to, until the same is asked again by another call; NEVER: it is not. None: whenever.
        left: what is still due or held.
    """

    states: tuple[str, ...] = ("succeeded",)
    refused: tuple[str, ...] = ()
    delivered: int = 1
    failed_looks: int = 0
    sent: int = 1
    effects: int = 1
    waits: tuple[float, float] | None = None
    left: tuple[str, ...] = ()


NEVER: Final = (-1.0, -1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One route.

    Attributes:
        but: the faults, by their names, that lead to something else.
        every: whether each of its cells is part of `make test`, if they are not all the same; else one of each kind
            is (ONE_OF_EACH_KIND), and `make test-faults` plays them all. Not where the story is a long one.
    """

    story: str
    asks: Mapping[str, int]
    why: str
    then: Cell
    but: Mapping[str, Cell] = field(default_factory=dict)
    every: bool = True

    def cell(self, fault: str) -> Cell:
        return next((cell for names, cell in self.but.items() if fault in names.split()), self.then)

    def always(self, fault: str) -> bool:
        """Whether the cell is part of `make test`."""
        return fault in ONE_OF_EACH_KIND or (self.every and bool(self.but))

    def tries(self, fault: str) -> int:
        """So many requests the client makes of the call that meets the fault."""
        return next((n for names, n in self.asks.items() if fault in names.split()), 1)

    def unknown(self) -> set[str]:
        return {name for names in (*self.but, *self.asks) for name in names.split()} - set(FAULTS)


# --- how often a client asks (with HASTE_OF_HANGS, which plays hangs, one repeat is allowed instead of two) -----------

ONCE: Final[Mapping[str, int]] = {}
"""Targets are asked once: createRun is never sent again by its client, whatever it is answered."""
READ: Final = {"429 429+ 500 502 503 504 reset truncated lost": 3, "hang": 2}
"""The tables' client, for GET."""
WRITTEN: Final = {"429 429+ 500 502 503 504 reset lost": 3, "hang": 2}
"""The same for PUT and DELETE. Their answers have no body, and what is cut off is no loss."""
POSTED: Final = {"429+ 500 503 504": 3}
"""The same for POST (inserts and transactions): whatever arrived may have had its effect."""
BLOB: Final = {"500 502 503 504 reset lost": 3, "hang": 2}
"""The blobs' client, for PUT."""
BLOB_READ: Final = {"500 502 503 504 reset truncated lost": 3, "hang": 2}
HEAD: Final = {"500 502 503 504 reset lost": 3, "hang": 2}
QUEUE: Final = {"500 502 503 504 reset truncated lost": 3, "hang": 2}

# --- what becomes of it -----------------------------------------------------------------------------------------------

UNNOTICED: Final = Cell()
"""A look that was made while the event was delivered, or one that sees to several lanes: nobody hears of its trouble,
and what it left undone is due."""
COMES_AGAIN: Final = Cell(delivered=2)
"""The event is not acknowledged, so it is delivered again."""
LOOKS_AGAIN: Final = Cell(failed_looks=1)
"""The look raises, so its message becomes visible again."""
REFUSED: Final = Cell(states=("failed",), sent=0, effects=0, waits=NEVER)
"""Nothing was started, and nothing will be."""
THIRTY: Final = (30, 36)
"""What the product waits by itself; by up to a fifth longer, so that not all come at once."""
ADVISED: Final = (7, 8.4)
FOLLOWED_LATER: Final = (30, 30)
IN_DOUBT: Final = (120, 120)
"""Four questions for a run with the stamp, at 0, 15, 45 and 120 s; then the start is sent again."""
TIMED_OUT: Final = Cell(states=("timed-out",))
SWEPT: Final = Cell(states=(), delivered=0, sent=0)
SWEPT_AGAIN: Final = replace(SWEPT, failed_looks=1)
"""No event, no reaction; the effect is that the poisoned message is gone."""
ADOPTED_END: Final = replace(TIMED_OUT, waits=NEVER)
"""It is seen to have ended, and asked for nothing more."""
LOST: Final = "truncated lost"
A_NO_OF_AML: Final = "400 401 403 404 412"
A_NO: Final = "400 401 403 404 409 412"

_PIPELINE: Final[Mapping[str, Row]] = {
    # --- the door
    "table POST lanes e!": Row(
        story="pipeline",
        asks=POSTED,
        why="it is acknowledged only when it is in the ledger; that it is there is no error (409 is played so)",
        then=COMES_AGAIN,
        but={"409": UNNOTICED},
    ),
    # --- the look that is made at once
    "table GET lanes many": Row(story="pipeline", asks=READ, why="the look is made again", then=UNNOTICED),
    "table GET permits many": Row(story="pipeline", asks=READ, why="the look is made again", then=UNNOTICED),
    "table GET permits upkeep h": Row(
        story="pipeline",
        asks=READ,
        why="which numbers are taken must be known; 404 says that none is",
        then=UNNOTICED,
    ),
    "table POST $batch lanes pending": Row(
        story="pipeline",
        asks=POSTED,
        why="the claim is made again, on what is there by then",
        then=UNNOTICED,
    ),
    "table PUT recent day": Row(
        story="pipeline",
        asks=WRITTEN,
        why="a list for people; the start, which was sent and is not saved as such, is adopted",
        then=UNNOTICED,
    ),
    "table POST $batch permits resource grant": Row(
        story="pipeline", asks=POSTED, why="a grant is idempotent", then=UNNOTICED
    ),
    "table POST $batch permits rule head": Row(
        story="pipeline", asks=POSTED, why="a token may be lost, never gained", then=UNNOTICED
    ),
    "table POST $batch permits factory grant": Row(
        story="pipeline", asks=POSTED, why="a grant is idempotent", then=UNNOTICED
    ),
    "table GET permits resource p!": Row(
        story="pipeline", asks=READ, why="what was granted stays until it is known whose it is", then=UNNOTICED
    ),
    "table DELETE permits resource p!": Row(
        story="pipeline", asks=WRITTEN, why="the reaction goes on with the permit it has", then=UNNOTICED
    ),
    "blob PUT manifests/{}": Row(
        story="pipeline",
        asks=BLOB,
        why="the first one stays, and 409 and 412 say that there is one; without one nothing is started",
        then=UNNOTICED,
    ),
    # --- the start
    "adf GET pipelines/{}": Row(
        story="pipeline",
        asks=ONCE,
        why="a clear no ends it; everything else is asked again when the factory may be well",
        then=Cell(waits=THIRTY),
        but={A_NO: REFUSED, "429+": Cell(waits=ADVISED)},
    ),
    "table POST due factory:": Row(
        story="pipeline", asks=POSTED, why="nothing is started that nobody would follow", then=UNNOTICED
    ),
    "queue POST wake-ups/messages": Row(
        story="pipeline", asks=QUEUE, why="the due row is the truth; the message only makes it quick", then=UNNOTICED
    ),
    "table POST $batch lanes starting": Row(
        story="pipeline", asks=POSTED, why="no will to start is saved, so nothing is sent", then=UNNOTICED
    ),
    "adf POST pipelines/{}/createrun": Row(
        story="pipeline",
        asks=ONCE,
        why="a no starts nothing, patience starts it later, doubt asks for a run with the stamp before it sends again",
        then=Cell(sent=2, waits=IN_DOUBT),
        but={
            A_NO: replace(REFUSED, sent=1),
            "429": Cell(sent=2, waits=THIRTY),
            "429+": Cell(sent=2, waits=ADVISED),
            LOST: Cell(waits=NEVER),  # adopted
        },
    ),
    "table POST $batch lanes running": Row(
        story="pipeline", asks=POSTED, why="the run is found by its stamp: adopted, not started again", then=UNNOTICED
    ),
    # --- the factory is followed
    "adf POST querypipelineruns": Row(
        story="pipeline",
        asks=ONCE,
        why="whatever it says, the factory is asked again",
        then=Cell(waits=FOLLOWED_LATER),
    ),
    "adf POST pipelineruns/{}/queryactivityruns": Row(
        story="pipeline", asks=ONCE, why="jobs are good to know, and waited for by nothing", then=Cell(waits=NEVER)
    ),
    "table POST $batch lanes succeeded": Row(
        story="pipeline", asks=POSTED, why="its end is seen again, and saved then", then=UNNOTICED
    ),
    "table DELETE permits factory p!": Row(
        story="pipeline",
        asks=WRITTEN,
        why="while it is held, its lane is handed on; it goes last, so nothing else is held by then",
        then=UNNOTICED,
    ),
    "table DELETE due factory:": Row(
        story="pipeline",
        asks=WRITTEN,
        why="one look more; 404 and 412 say that somebody else has moved it",
        then=LOOKS_AGAIN,
        but={"404 412 truncated": UNNOTICED},
    ),
}

_TOO_LONG: Final[Mapping[str, Row]] = {
    "table GET lanes r!": Row(
        story="too long", asks=READ, why="the look is made again; 404 reads the lane again", then=TIMED_OUT
    ),
    "table POST $batch permits factory head": Row(
        story="too long",
        asks=POSTED,
        why="how far the factory was followed is only kept; 404, 409 and 412 say that somebody else has kept it",
        then=replace(TIMED_OUT, failed_looks=1),
        but={"404 409 412": TIMED_OUT},
    ),
    "table PUT due factory:": Row(
        story="too long",
        asks=WRITTEN,
        why="the look raises, so it comes again; 404, 409 and 412 say that somebody else has moved it",
        then=replace(TIMED_OUT, failed_looks=1),
        but={"404 409 412": TIMED_OUT},
    ),
    "table PUT due lane:": Row(story="too long", asks=WRITTEN, why="the lane is handed on again", then=TIMED_OUT),
    "table DELETE due lane:": Row(
        story="too long",
        asks=WRITTEN,
        why="one look more",
        then=TIMED_OUT,
    ),
    "adf POST pipelineruns/{}/cancel": Row(
        story="too long",
        asks=ONCE,
        why="a no leaves the run to itself; else it is cancelled again, and then seen to be cancelled",
        then=replace(TIMED_OUT, waits=THIRTY),
        but={A_NO: replace(TIMED_OUT, waits=NEVER), "429+": replace(TIMED_OUT, waits=ADVISED), LOST: ADOPTED_END},
    ),
    "table POST $batch lanes timed-out": Row(
        story="too long", asks=POSTED, why="its end is seen again, and saved then", then=TIMED_OUT
    ),
    "table DELETE lanes i!": Row(
        story="too long", asks=WRITTEN, why="what cannot be told is told later", then=TIMED_OUT
    ),
}

_DOORS: Final[Mapping[str, Row]] = {
    "blob HEAD lake/{}": Row(
        story="renamed",
        asks=HEAD,
        why="without its ETag it has no identity: not acknowledged; 404 says that the file is gone",
        then=COMES_AGAIN,
        but={"404": Cell(states=(), refused=("file-gone",), sent=0, effects=0), "truncated": UNNOTICED},
    ),
    "table POST $batch recent c! e!": Row(
        story="unwanted",
        asks=POSTED,
        why="it is acknowledged only when it is counted, and rather counted twice than never",
        then=Cell(states=(), refused=("unmatched",), delivered=2, sent=0, effects=0),
    ),
}

_JOBS: Final[Mapping[str, Row]] = {
    "aml GET components/{}/versions/{}": Row(
        story="job",
        asks=ONCE,
        why="a clear no ends it (409 is none: something is being changed); else it is asked again",
        then=Cell(waits=THIRTY),
        but={A_NO_OF_AML: REFUSED, "429+": Cell(waits=ADVISED)},
    ),
    "aml GET jobs/{}": Row(
        story="job",
        asks=ONCE,
        why="a clear no ends it; 404 says that the name is free, and so it is started",
        then=Cell(waits=THIRTY),
        but={"404": Cell(), "400 401 403 412": REFUSED, "429+": Cell(waits=ADVISED)},
    ),
    "aml PUT jobs/{}": Row(
        story="job",
        asks=ONCE,
        why="a no starts nothing; 409 may be our own start; in doubt the name is asked for before it is sent again",
        then=Cell(sent=2, waits=THIRTY),
        but={
            A_NO_OF_AML: replace(REFUSED, sent=1),
            "409": Cell(sent=2, waits=(2, 2.4)),
            "429+": Cell(sent=2, waits=ADVISED),
            LOST: Cell(waits=NEVER),  # adopted
        },
    ),
    "table POST due lane:": Row(
        story="job", asks=POSTED, why="the delivery's look was to be its last step: the wake-up stands", then=UNNOTICED
    ),
    "table GET due lane:": Row(
        story="job",
        asks=READ,
        why="the look raises, so it comes again; 404 says that there is no row, and the lane is looked at",
        then=LOOKS_AGAIN,
        but={"404": UNNOTICED},
    ),
    "aml POST jobs/{}/cancel": Row(
        story="job too long",
        asks=ONCE,
        why="a no leaves the job to itself; else it is cancelled again, and then seen to be cancelled",
        then=replace(TIMED_OUT, waits=THIRTY),
        but={
            A_NO_OF_AML: replace(TIMED_OUT, waits=NEVER),
            "429+": replace(TIMED_OUT, waits=ADVISED),
            LOST: ADOPTED_END,
        },
    ),
}

_SWEEP: Final[Mapping[str, Row]] = {
    "table GET due upkeep:": Row(
        story="poisoned", asks=READ, why="the sweep comes again; 404 makes it due", then=SWEPT_AGAIN, but={"404": SWEPT}
    ),
    "table PUT due upkeep:": Row(
        story="poisoned", asks=WRITTEN, why="the sweep comes again", then=SWEPT_AGAIN, but={"truncated": SWEPT}
    ),
    "table GET due many": Row(story="poisoned", asks=READ, why="the sweep comes again", then=SWEPT_AGAIN),
    "queue GET wake-ups-poison/messages": Row(
        story="poisoned",
        asks=QUEUE,
        why="the sweep comes again; a message that was read and not seen is there again after a minute",
        then=SWEPT_AGAIN,
        but={LOST: replace(SWEPT_AGAIN, effects=0)},
    ),
    "queue DELETE wake-ups-poison/messages/{}": Row(
        story="poisoned",
        asks=BLOB,
        why="its key has been made due; the message comes again, and that changes nothing",
        then=replace(SWEPT_AGAIN, effects=0),
        but={"404 lost": SWEPT_AGAIN, "truncated": SWEPT},
    ),
    "queue GET events-poison/messages": Row(
        story="poisoned", asks=QUEUE, why="the sweep comes again", then=SWEPT_AGAIN
    ),
}

_HIDDEN: Final[Mapping[str, Row]] = {
    "adf GET pipelineruns/{}": Row(
        story="hidden",
        asks=ONCE,
        why="whatever it says, the factory is asked again; 404 says that there is none, and its list knows better",
        then=Cell(waits=FOLLOWED_LATER),
        but={"404": Cell(waits=NEVER)},
    ),
}

_TOLD: Final[Mapping[str, Row]] = {
    "topic POST api/events": Row(
        story="told",
        asks=ONCE,
        why="a clear no is not repeated, everything else is told again, under the same id",
        then=Cell(sent=2, waits=(30, 30)),
        but={"400 401 403 409 412": Cell(effects=0, waits=NEVER)},
    ),
}

NOBODY_TOLD: Final = Cell(delivered=0)
LISTED_LATER: Final = replace(NOBODY_TOLD, waits=(900, 900))
NEXT_HOUR: Final = replace(NOBODY_TOLD, waits=(3600, 3600))
_CHORES: Final[Mapping[str, Row]] = {
    "aml GET models": Row(story="lost model", asks=ONCE, why="it is listed again, so far back", then=LISTED_LATER),
    "aml GET models/{}/versions": Row(
        story="lost model", asks=ONCE, why="it is listed again, so far back", then=LISTED_LATER
    ),
    "table POST $batch permits source head": Row(
        story="lost model",
        asks=POSTED,
        why="how far was listed is only kept; the chore raises, so it comes again, and what it found is known then",
        then=replace(NOBODY_TOLD, failed_looks=1),
        but={"404 409 412": NOBODY_TOLD},
    ),
    "aml GET jobs": Row(story="lost breach", asks=ONCE, why="it is listed again, so far back", then=LISTED_LATER),
    "aml GET (workspace)": Row(
        story="lost breach", asks=ONCE, why="it says whom to ask for a run's parts", then=LISTED_LATER
    ),
    "aml GET _local/discovery": Row(
        story="lost breach", asks=ONCE, why="without it nobody can be asked for a run's parts", then=LISTED_LATER
    ),
    "aml GET runs/{}/children": Row(
        story="lost breach",
        asks=ONCE,
        why="it is listed again, so far back; 404 says that there are no parts, until the next list",
        then=LISTED_LATER,
        but={"404": NEXT_HOUR},
    ),
    "blob GET dead-letters?comp=list": Row(
        story="given up",
        asks=BLOB_READ,
        why="the chore raises, so it comes again",
        then=replace(NOBODY_TOLD, failed_looks=1),
    ),
    "blob GET dead-letters/{}": Row(
        story="given up",
        asks=BLOB_READ,
        why="this one is kept for the next hour, and the others are taken in; 404 says that somebody else has done so",
        then=NEXT_HOUR,
        but={"404": Cell(states=(), delivered=0, sent=0, effects=0, waits=NEVER)},
    ),
    "blob DELETE dead-letters/{}": Row(
        story="given up",
        asks=BLOB,
        why="its events are taken in, and known in an hour, when it is tried again",
        then=replace(NOBODY_TOLD, effects=0, waits=NEVER),
        but={"404 truncated lost": replace(NOBODY_TOLD, waits=NEVER)},
    ),
}

ROLLED_BACK: Final = Cell(states=("rolled-back",), effects=0, waits=NEVER)
NOT_LIVE: Final = Cell(states=("failed",), effects=0, waits=NEVER)
ASKED_SOON: Final = Cell(waits=(15, 15))
ASKED_LATER: Final = Cell(waits=(30, 30))
ADVISED_OR_LATER: Final = {"409 429": ASKED_LATER, "429+": Cell(waits=(7, 7))}
"""What a workspace that is busy leads to in the middle of a rollout."""
_ROLLOUTS: Final[Mapping[str, Row]] = {
    "aml GET models/{}/versions/{}": Row(
        story="rollout",
        asks=ONCE,
        why="nothing is decided without its metric; 404 says that there is none, and that is asked for once more",
        then=ASKED_LATER,
        but={"404": Cell(waits=(0, 0))},
    ),
    "aml GET onlineendpoints/{}": Row(
        story="rollout",
        asks=ONCE,
        why="nothing is decided without what is live; 404 says that nothing is, and that is asked for once more",
        then=ASKED_LATER,
        but={"404": Cell(waits=(0, 0))},
    ),
    "aml GET onlineendpoints/{}/deployments": Row(
        story="rollout",
        asks=ONCE,
        why="as the endpoint itself",
        then=ASKED_LATER,
        but={"404": Cell(waits=(0, 0))},
    ),
    "table POST $batch permits endpoint grant": Row(
        story="rollout", asks=POSTED, why="a grant is idempotent", then=UNNOTICED
    ),
    "aml PUT onlineendpoints/{}/deployments/{}": Row(
        story="rollout",
        asks=ONCE,
        why="a no makes nothing; in doubt the name is asked for before it is sent again",
        then=Cell(sent=2, waits=THIRTY),
        but={A_NO_OF_AML: NOT_LIVE, "429+": Cell(sent=2, waits=ADVISED), LOST: Cell(waits=NEVER)},
    ),
    "aml POST onlineendpoints/{}/listkeys": Row(
        story="rollout",
        asks=ONCE,
        why="without a key there is no smoke test, and without that nothing goes live",
        then=ASKED_SOON,
        but={A_NO_OF_AML: ROLLED_BACK, **ADVISED_OR_LATER},
    ),
    "aml POST online/{}/score": Row(
        story="rollout",
        asks=ONCE,
        why="a model that answers badly goes back; what may be the way there is tried again",
        then=ASKED_SOON,
        but={"400 401 403 404 409 412 500": ROLLED_BACK},
    ),
    "aml PUT onlineendpoints/{}": Row(
        story="rollout",
        asks=ONCE,
        why="a no leaves production as it is; else it is sent again, unless the traffic is as it should be",
        then=ASKED_SOON,
        but={
            A_NO_OF_AML: NOT_LIVE,
            **ADVISED_OR_LATER,
            LOST: Cell(waits=NEVER),
        },
    ),
    "aml DELETE onlineendpoints/{}/deployments/{}": Row(
        story="rollout",
        asks=ONCE,
        why="the new one is live; one that cannot be removed stays, and the reaction's reason says so",
        then=ASKED_SOON,
        but={
            "400 401 403 412": Cell(effects=0, waits=NEVER),
            "404": Cell(waits=NEVER),
            **ADVISED_OR_LATER,
            LOST: Cell(waits=NEVER),
        },
    ),
    "table DELETE permits endpoint p!": Row(
        story="rollout",
        asks=WRITTEN,
        why="its end is saved: whoever wants the endpoint next frees it; 404 says that it is free",
        then=Cell(failed_looks=1, waits=NEVER, left=("permit endpoint",)),
        but={"404 truncated": Cell(waits=NEVER), "lost": Cell(failed_looks=1, waits=NEVER)},
    ),
}

ROWS: Final[Mapping[str, Row]] = {
    **_PIPELINE,
    **_HIDDEN,
    **_TOO_LONG,
    **_DOORS,
    **_JOBS,
    **_TOLD,
    **{route: replace(row, every=False) for route, row in {**_ROLLOUTS, **_CHORES}.items()},
    **_SWEEP,
}
