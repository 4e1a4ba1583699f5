"""What must hold between the parts of a rule, checked on whatever parts of it can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from shared.rules.durations import parse_duration
from shared.rules.fields import either
from shared.rules.parts import (
    ACTIONS,
    ACTIONS_NOT_BUILT,
    DEPLOY_MODEL,
    DRIFT_DETECTED,
    EVENTS,
    FILE_LANDED,
    MODEL_REGISTERED,
    NOTIFY,
    action_of,
    at,
    close,
    event_of,
    read,
    whole_number,
)
from shared.rules.patterns import Exclusion, PathPattern
from shared.rules.placeholders import check_placeholders
from shared.rules.yaml_lines import Found

_ALL_OF: Final = ("collect", "all-of")
_GIVE_UP_AFTER: Final = ("collect", "give-up-after")
_MAX_WAIT: Final = ("collect", "max-wait")
_MAX_EVENTS: Final = ("collect", "max-events")
_NOT_OF_A_DEPLOYMENT: Final[dict[tuple[str, ...], str]] = {
    ("with",): "all it takes stands there",
    ("collect",): "every model is decided on by itself, one after the other for an endpoint",
    ("limits", "while-running"): "a newer model always replaces an older one",
}


def check(rule: Mapping[str, object]) -> Iterator[Found]:
    """Finds every contradiction of a rule as the file gives it. What is wrong in itself is not said again."""
    yield from _one_event(at(rule, "when"))
    yield from _one_action(rule)
    yield from _breaches(rule)
    yield from _collect(rule)
    yield from _all_of(rule)
    yield from _deployment(rule)
    yield from _require(rule)
    yield from check_placeholders(rule)
    if at(rule, "retry", "backoff") is not None and at(rule, "retry", "attempts") in (None, 1):
        yield ("retry", "backoff"), "has no effect without attempts: 2 or more"


def _one_event(when: object) -> Iterator[Found]:
    if not isinstance(when, Mapping):
        return
    given = [key for key in when if key in EVENTS]
    for second in given[1:]:
        yield ("when", second), f"is a second event beside {given[0]}; write a rule for each"
    if not when:  # whatever else is in it is refused anyway
        yield ("when",), f"has no event; write {either(EVENTS)}"


def _one_action(rule: Mapping[str, object]) -> Iterator[Found]:
    given = [key for key in rule if key in ACTIONS]
    for second in given[1:]:
        yield (second,), f"is a second action beside {given[0]}; write a rule for each"
    if not given and not any(key in ACTIONS_NOT_BUILT or close(key, ACTIONS) for key in rule):
        yield (), f"has no action; write {either(ACTIONS)}"


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


def _collect(rule: Mapping[str, object]) -> Iterator[Found]:
    files = event_of(rule) in (None, FILE_LANDED)
    for place in (_ALL_OF, _GIVE_UP_AFTER):
        if not files and at(rule, *place) is not None:
            yield place, f"needs {FILE_LANDED}: only files have names to wait for"
    if files and at(rule, *_GIVE_UP_AFTER) is not None and at(rule, *_ALL_OF) is None:
        yield _GIVE_UP_AFTER, "has no effect without all-of"
    if at(rule, *_MAX_WAIT) is not None and at(rule, "collect", "quiet") is None:
        yield _MAX_WAIT, "has no effect without quiet"
    quiet, max_wait = (read(parse_duration, at(rule, "collect", key)) for key in ("quiet", "max-wait"))
    if quiet is not None and max_wait is not None and max_wait < quiet:
        yield _MAX_WAIT, f"is shorter than quiet ({at(rule, 'collect', 'quiet')}); make it longer"
    yield from _max_events(rule)


def _max_events(rule: Mapping[str, object]) -> Iterator[Found]:
    most = whole_number(at(rule, *_MAX_EVENTS)) or 0
    names = at(rule, *_ALL_OF)
    files = len({name for name in names if isinstance(name, str)}) if isinstance(names, list) else 0
    times = whole_number(at(rule, "when", DRIFT_DETECTED, "times")) or 0
    for needed, what in ((files, "files of all-of"), (times, "breaches of times")):
        if 0 < most < needed:
            yield _MAX_EVENTS, f"is less than the {needed} {what}, so no batch could hold what it waits for"


def _all_of(rule: Mapping[str, object]) -> Iterator[Found]:
    names = at(rule, *_ALL_OF)
    if not isinstance(names, list):
        return
    pattern = read(PathPattern.parse, at(rule, "when", FILE_LANDED, "path"))
    counts = Counter(name for name in names if isinstance(name, str))
    for i, name in enumerate(names):
        if not isinstance(name, str):
            continue
        place = (*_ALL_OF, i)
        if counts[name] > 1 and names.index(name) != i:
            yield place, f"{name!r} is named twice"
        elif message := _not_a_name(name) or _never_comes(name, rule, pattern):
            yield place, message


def _not_a_name(name: str) -> str | None:
    if not name:
        return "is empty; name a file"
    for sign in "*{}\\":
        if sign in name:
            return f"{name!r} must be the plain name of a file, without {sign}"
    if name.startswith("/") or name.endswith("/"):
        return f"{name!r} must be a name within the pattern's folder, without a slash at its beginning or end"
    return None


def _never_comes(name: str, rule: Mapping[str, object], pattern: PathPattern | None) -> str | None:
    if pattern is None:
        return None
    if not pattern.fits_within(name):
        folder = "/".join(pattern.text.split("/")[: pattern.folder + 1])
        return f"{name!r} can never come: {folder}/{name} does not fit {pattern.text!r}"
    exclude = at(rule, "when", FILE_LANDED, "exclude")
    for text in exclude if isinstance(exclude, list) else ():
        glob = read(Exclusion.parse, text)
        if glob is not None and glob.match(name):
            return f"{name!r} can never come: it is excluded by {text!r}"
    return None


def _deployment(rule: Mapping[str, object]) -> Iterator[Found]:
    if action_of(rule) != DEPLOY_MODEL:
        return
    event = event_of(rule)
    if event not in (None, MODEL_REGISTERED):
        yield (DEPLOY_MODEL,), f"needs when: {MODEL_REGISTERED}, not {event}: it deploys the model that was registered"
    for place, why in _NOT_OF_A_DEPLOYMENT.items():
        if at(rule, *place) is not None:
            yield place, f"does not go with {DEPLOY_MODEL}: {why}"


def _require(rule: Mapping[str, object]) -> Iterator[Found]:
    require = at(rule, "require")
    if not isinstance(require, Mapping):
        return
    event, action = event_of(rule), action_of(rule)
    if event not in (None, DRIFT_DETECTED):
        yield ("require",), f"needs when: {DRIFT_DETECTED}, not {event}: a monitor's run is what leaves the report"
    if action in (DEPLOY_MODEL, NOTIFY):
        yield ("require",), f"does not go with {action}, which trains nothing"
    if "min-rows" not in require and "max-missing" not in require:
        yield ("require",), "asks for nothing; add min-rows, max-missing or both"
