"""What becomes of events and reactions under each policy, in a sentence."""

from __future__ import annotations

from typing import Final

POLICIES: Final = (
    ("mode: act", "The reaction goes from `pending` by `starting` and `running` to its end. The default."),
    (
        "mode: observe",
        "The reaction is made as ever and goes from `pending` to `observed`: what it would have started is recorded; "
        "nothing is started, held or told.",
    ),
    (
        "limits.while-running: coalesce",
        "While the lane's reaction is `pending`, `starting` or `running`, events wait; once it is final, all of them "
        "become one next reaction. The default.",
    ),
    (
        "limits.while-running: queue",
        "They wait as well, but each batch becomes a reaction of its own: `pending` once the one before is final.",
    ),
    (
        "limits.while-running: skip",
        "They are recorded as skipped (`while-running`), by when they were accepted, and no reaction has them.",
    ),
    (
        "limits.while-running: replace",
        "The lane's reaction gives way: its run is cancelled and it ends `superseded`; the next one has its events as "
        "well as the new ones, and no cooldown holds it.",
    ),
    (
        "limits.during-cooldown: collect",
        "After a reaction's end events wait until the cooldown is over; then one `pending` reaction has them all. The "
        "default.",
    ),
    (
        "limits.during-cooldown: skip",
        "They are recorded as skipped (`cooldown`), by when they were accepted, and no reaction has them.",
    ),
    (
        "limits.concurrency, limits.resources, factory.concurrency",
        "Where no permit is free the reaction stays `pending` and says which one it waits for; no attempt is used up.",
    ),
    (
        "limits.start-rate, factory.start-rate",
        "Where the budget is used up the reaction stays `pending` until there is room in it; no attempt is used up.",
    ),
    (
        "limits.priority: high, normal, low",
        "Of `pending` reactions that wait for the same permit or budget, `high` starts first, then `normal`, then "
        "`low`; of the same priority the one that waits longest.",
    ),
    (
        "require",
        "The report is read while the reaction is `pending`; where the data are too few, or too much is missing, it "
        "ends `refused`, and where no report can be read `failed`. Nothing is started then.",
    ),
    (
        "writes",
        "A rule whose run would start it again is refused when the file is read; where only an event's values show "
        "it, the reaction goes from `pending` to `failed`, before anything is started.",
    ),
    (
        "retry",
        "A start that went wrong, or a run that failed, puts the reaction back to `pending` until the back-off is "
        "over; after the last attempt it is `failed`.",
    ),
    ("timeout", "A run that takes longer is cancelled, and the reaction ends `timed-out`, without another attempt."),
    (
        "collect.give-up-after",
        "A batch that is still incomplete becomes no reaction: its files are skipped (`incomplete`).",
    ),
    (
        "when.file-overdue",
        "Each time that passes without a file becomes a `pending` reaction; a file that lands becomes none, and begins "
        "the time anew (`arrived`).",
    ),
    (
        "when.drift-detected.times, within",
        "Breaches that are too few become no reaction: each is skipped (`below-times`) when it counts no more.",
    ),
)
"""By key and value, as one writes them."""
