"""What a rule waits for: one event, and what belongs to that event alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.rules.fields import either
from shared.rules.parts import DRIFT_DETECTED, EVENTS, at, event_of, whole_number
from shared.rules.yaml_lines import Found


def check_event(rule: Mapping[str, object]) -> Iterator[Found]:
    """What is wrong with a rule's event, and with what it requires of the data behind it."""
    yield from _one_event(at(rule, "when"))
    yield from _breaches(rule)
    yield from _require(rule)


def _one_event(when: object) -> Iterator[Found]:
    if not isinstance(when, Mapping):
        return
    given = [key for key in when if key in EVENTS]
    for second in given[1:]:
        yield ("when", second), f"is a second event beside {given[0]}; write a rule for each"
    if not when:  # whatever else is in it is refused anyway
        yield ("when",), f"has no event; write {either(EVENTS)}"


def _breaches(rule: Mapping[str, object]) -> Iterator[Found]:
    drift = at(rule, "when", DRIFT_DETECTED)
    if not isinstance(drift, Mapping):
        return
    times = whole_number(drift.get("times", 1))
    if times == 1 and drift.get("within") is not None:
        yield ("when", DRIFT_DETECTED, "within"), "has no effect without times: 2 or more"
    if times is not None and times > 1 and "within" not in drift:
        yield ("when", DRIFT_DETECTED, "times"), f"needs within: the time in which {times} breaches count, such as 3d"
    given = drift.get("signals")
    signals = given if isinstance(given, list) else []
    for i, signal in enumerate(signals):
        if isinstance(signal, str) and signals.index(signal) != i:
            yield ("when", DRIFT_DETECTED, "signals", i), f"{signal!r} is named twice"


def _require(rule: Mapping[str, object]) -> Iterator[Found]:
    require = at(rule, "require")
    if not isinstance(require, Mapping):
        return
    event = event_of(rule)
    if event not in (None, DRIFT_DETECTED):
        yield ("require",), f"needs when: {DRIFT_DETECTED}, not {event}: a monitor's run is what leaves the report"
    if not {"min-rows", "max-missing"} & set(require) and "report" in require:
        yield ("require",), "asks for nothing; add min-rows, max-missing or both"
