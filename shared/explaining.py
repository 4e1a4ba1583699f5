"""Why an event led to what it led to, or to nothing: rule by rule, from the same decisions that looks make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from shared import events, queries
from shared.decisions import decide
from shared.events import DriftDetected, Event, FileLanded, FileOverdue, ModelRegistered, Refused
from shared.lanes import Decision, Expect, Lane, PendingEvent, Replace, Skip, Start, TakenEvent, Wait, lane_id
from shared.lineage import Json
from shared.memory import Remembered
from shared.ports import Clock, Controls, FileProperties, Lake, Lanes, Workspace
from shared.reactions import Reaction, State, reaction_id
from shared.replacing import stays
from shared.rollouts.standing import standing_of
from shared.rules import (
    DriftDetectedTrigger,
    FileLandedTrigger,
    FileOverdueTrigger,
    Match,
    ModelRegisteredTrigger,
    Rule,
    Rules,
)

_WOULD: Final[Mapping[type[Decision], str]] = {
    Start: "start",
    Skip: "skip it",
    Replace: "replace what runs",
    Expect: "note that a file is expected",
}
_NEVER_CAME: Final = (
    "no rule was given it: it never came in, or longer ago than identities are kept, or the rules were others then"
)
_UNMATCHED: Final = (
    "no rule waits for it now: were it to come in, it would be counted as unmatched, and nothing be kept"
)


class Explaining:
    def __init__(  # noqa: PLR0913 - it is handed its parts
        self,
        *,
        rules: Rules,
        lanes: Lanes,
        controls: Controls,
        workspace: Workspace,
        lake: Lake,
        accounts: frozenset[str],
        workspace_id: str | None,
        clock: Clock,
        remembered: Remembered,
    ) -> None:
        self._rules = rules
        self._lanes = lanes
        self._controls = controls
        self._workspace = workspace
        self._lake = lake
        self._accounts = accounts
        self._workspace_id = workspace_id
        self._clock = clock
        self._remembered = remembered

    @property
    def accounts(self) -> list[str]:
        """The storage accounts whose files count."""
        return sorted(self._accounts)

    def file(self, account: str, container: str, path: str) -> Json:
        """The file as it is now: an earlier version has another identity, and is explained by its event only."""
        # Of a container that no rule names nothing is asked: the app may not be let into it.
        asks = container in _containers(self._rules)
        found = self._lake.properties(account, container, path) if asks else None
        landed = _landed(account, container, path, found)
        told: Json = {"event": {"kind": landed.kind, "account": account, "path": f"{container}/{path}"}}
        if found is None:
            gone = "the file is not there now: what is told is what the rules would do with it"
            told["note"] = gone if asks else f"no rule waits for files of container {container}"
            return {**told, "rules": [self._by_rules_only(rule, landed) for rule in self._rules.rules.values()]}
        return {**told, **self._explained(landed)}

    def delivered(self, raw: str) -> Json:
        """An event as Event Grid delivers it, in either schema."""
        parsed = events.parse(raw, accounts=self._accounts, workspace_id=self._workspace_id)
        if isinstance(parsed, FileLanded) and parsed.etag is None:
            return {**self.file(parsed.account, parsed.container, parsed.path), "renamed_from": parsed.renamed_from}
        if isinstance(parsed, Refused):
            return {
                "event": {"event_id": parsed.event_id, "type": parsed.event_type, "subject": parsed.subject},
                "refused": str(parsed.reason),
                "detail": parsed.detail,
                "rules": [],
            }
        named = {"kind": parsed.kind, "event_id": parsed.event_id, "subject": parsed.subject}
        return {"event": named, **self._explained(parsed)}

    def _explained(self, event: Event) -> Json:
        key = events.event_key(event)
        rules = [self._by_rule(rule, event, key) for rule in self._rules.rules.values()]
        told: Json = {"key": key, "rules": rules}
        if not any(rule["matches"] for rule in rules):
            return {**told, "outcome": _UNMATCHED}
        if not any(rule.get("state") for rule in rules):
            return {**told, "outcome": _NEVER_CAME}
        return told

    def _by_rules_only(self, rule: Rule, event: Event) -> Json:
        match = rule.match(event)
        return self._matched(rule, match) if match is not None else _unmatched(rule, event)

    def _by_rule(self, rule: Rule, event: Event, key: str) -> Json:
        match = rule.match(event)
        if match is None:
            return _unmatched(rule, event)
        lane = lane_id(rule.name, match.key)
        found = self._lanes.find_event(lane, key)
        fate: Json = {"state": None, "reason": "it never came into this lane"}
        if isinstance(found, PendingEvent):
            fate = {"state": "pending", "since": queries.text(found.accepted), **self._waits(rule, lane)}
        elif found is not None:
            fate = self._taken(lane, found)
        return {**self._matched(rule, match), **fate}

    @staticmethod
    def _matched(rule: Rule, match: Match) -> Json:
        captures = dict(match.captures)
        return {
            "rule": rule.name,
            "matches": True,
            "lane": lane_id(rule.name, match.key),
            "lane_key": match.key,
            "captures": captures,
        }

    def _taken(self, lane: str, event: TakenEvent) -> Json:
        if event.reaction is None:
            return {"state": "skipped", "reason": str(event.skipped), "at": queries.text(event.at)}
        reaction = self._lanes.reaction(reaction_id(lane, event.reaction))
        told: Json = {"state": "taken", "at": queries.text(event.at), "reaction": reaction_id(lane, event.reaction)}
        return told if reaction is None else {**told, **self._reaction(reaction)}

    def _reaction(self, reaction: Reaction) -> Json:
        told: Json = {"reaction_state": str(reaction.state), "reason": reaction.reason}
        if reaction.final:
            return told
        held = self._controls.read().holds(reaction.rule) if reaction.state is State.PENDING else None
        waits = held or reaction.reason
        return {**told, "waits": waits, "until": queries.text(reaction.next_look), "cancel": reaction.cancel}

    def _waits(self, rule: Rule, lane: str) -> Json:
        """Why a pending event of the lane waits now, by the decision that a look would make at this moment."""
        read = self._lanes.read(lane)
        running = self._running(read)
        standing = standing_of(self._workspace, rule, read, running)
        memory = self._remembered.of(read.pending)
        decision = decide(rule, read, self._rules.revision, self._clock.now(), standing, memory=memory)
        if isinstance(decision, Replace) and running is not None:
            decision = stays(rule, running, self._rules.mode, self._clock.now()) or decision
        held = self._controls.read().holds(rule.name)
        if isinstance(decision, Wait):
            waits = "; and ".join(filter(None, (decision.reason, held)))
            return {"waits": waits, "until": queries.text(decision.until), **_of_lane(read, running)}
        if held is not None and isinstance(decision, Start | Replace):  # nothing else is held by a pause
            return {"waits": held, "until": None, **_of_lane(read, running)}
        waits = f"for the next look, which would {_WOULD[type(decision)]}: {decision.reason}"
        return {"waits": waits, **_of_lane(read, running)}

    def _running(self, lane: Lane) -> Reaction | None:
        if lane.head is None or lane.head.running is None:
            return None
        return self._lanes.reaction(reaction_id(lane.id, lane.head.running))


def _containers(rules: Rules) -> set[str]:
    triggers = (rule.trigger for rule in rules.rules.values())
    return {each.path.container for each in triggers if isinstance(each, FileLandedTrigger | FileOverdueTrigger)}


def _of_lane(lane: Lane, running: Reaction | None) -> Json:
    return {"waiting_in_lane": len(lane.pending), "running": running.id if running is not None else None}


def _landed(account: str, container: str, path: str, found: FileProperties | None) -> FileLanded:
    return FileLanded(
        source=account,
        event_id="",
        subject="",
        time=queries.EPOCH,
        account=account,
        container=container,
        path=path,
        etag=found.etag if found is not None else "",
        size=found.size if found is not None else None,
    )


def _unmatched(rule: Rule, event: Event) -> Json:
    return {"rule": rule.name, "matches": False, "why_not": "; ".join(why_not(rule, event)) or "it does not fit"}


def why_not(rule: Rule, event: Event) -> Iterator[str]:
    """What of a rule's `when` an event does not fulfil. Pure; nothing where it matches."""
    trigger = rule.trigger
    if isinstance(trigger, FileLandedTrigger | FileOverdueTrigger) and isinstance(event, FileLanded):
        yield from _of_file(trigger, event)
    elif isinstance(trigger, DriftDetectedTrigger) and isinstance(event, DriftDetected):
        yield from _of_drift(trigger, event)
    elif isinstance(trigger, ModelRegisteredTrigger) and isinstance(event, ModelRegistered):
        yield from _of_model(trigger, event)
    elif isinstance(trigger, FileOverdueTrigger) and isinstance(event, FileOverdue):
        if event.pattern != trigger.path.text:
            yield f"it watches {trigger.path.text}, and {event.pattern} is overdue"
    else:
        yield f"it waits for {trigger.kind}, and this is {event.kind}"


def _of_file(trigger: FileLandedTrigger | FileOverdueTrigger, event: FileLanded) -> Iterator[str]:
    if event.container != trigger.path.container:
        yield f"the file is in container {event.container}, and it waits for files in {trigger.path.container}"
    elif trigger.path.match(event.container, event.path) is None:
        yield f"the path does not fit {trigger.path.text}"
    yield from (f"excluded by {each.text}" for each in trigger.exclude if each.match(event.path))


def _of_drift(trigger: DriftDetectedTrigger, event: DriftDetected) -> Iterator[str]:
    if event.monitor is None:
        yield "the event does not say which monitor it comes from"
    elif trigger.monitor.match(event.monitor) is None:
        yield f"monitor {event.monitor} does not fit {trigger.monitor.text}"
    if trigger.signals and event.signal not in trigger.signals:
        yield f"signal {event.signal or 'unknown'} is none of {', '.join(trigger.signals)}"


def _of_model(trigger: ModelRegisteredTrigger, event: ModelRegistered) -> Iterator[str]:
    if trigger.model.match(event.name) is None:
        yield f"model {event.name} does not fit {trigger.model.text}"
    yield from _of_tags(trigger.tags, event.tags)


def _of_tags(wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name, value in wanted.items():
        if name not in found:
            yield f"tag {name} is missing"
        elif found[name] != value:
            yield f"tag {name} is {found[name][:100]!r}, not {value!r}"
