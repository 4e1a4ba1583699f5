"""The rules that the promises are tried with: every policy, several rules for the same files, shared resources."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

_LANES = ['by: "{batch}"', 'by: "{batch}"', ""]
_BATCHES = [
    "",
    "",
    "quiet: 30s, max-wait: 2m",
    "quiet: 10m, max-wait: 1h",
    "quiet: 30s, max-wait: 2m, max-events: 3",
    "all-of: [0.csv, 1.csv], give-up-after: 1h",
    "all-of: [0.csv, 1.csv], give-up-after: 1h, max-events: 3",
    'until: "*/10 * * * *"',
    'until: "*/10 * * * *", max-events: 3',
]
_POLICIES = [
    "while-running: coalesce",
    "while-running: skip",
    "while-running: queue",
    "while-running: queue, cooldown: 10m",
    "while-running: replace",
    "while-running: replace, cooldown: 10m, during-cooldown: skip",
    "cooldown: 10m",
    "cooldown: 10m, during-cooldown: skip",
]
_STARTS = [
    "",
    "concurrency: 1",
    "concurrency: 2, start-rate: 4/h",
    "resources: [pool]",
    "concurrency: 2, resources: [pool, disk]",
    "resources: [pool], start-rate: 6/h",
]
_ACTIONS = ["run-pipeline: score", "run-pipeline: score", 'run-job: {component: "azureml:train:1", compute: cpu}']
_FACTORIES = ["", "", "factory: {concurrency: 2}\n", "factory: {concurrency: 3, start-rate: 6/h}\n"]
POOLS = {"pool": 1, "disk": 2}


@dataclass(frozen=True)
class RuleText:
    """One rule, in parts."""

    name: str
    action: str
    lanes: str
    batches: str
    policy: str
    starts: str
    attempts: int

    def to_text(self) -> str:
        # Without lanes of its own a rule runs one reaction at a time as it is, and may not say so.
        starts = self.starts if self.lanes else self.starts.removeprefix("concurrency: 2, ")
        limits = ", ".join(part for part in (self.policy, starts) if part)
        collect = ", ".join(part for part in (self.lanes, self.batches) if part)
        lines = [
            f"  {self.name}:",
            '    when: {file-landed: {path: "lake/in/{batch}/*.csv"}}',
            f"    {self.action}",
            '    with: {batch: "{count}", files: "{manifest}"}',
            f"    limits: {{{limits}}}",
            "    timeout: 3h",
        ]
        lines += [f"    collect: {{{collect}}}"] if collect else []
        lines += [f"    retry: {{attempts: {self.attempts}, backoff: 1m}}"] if self.attempts > 1 else []
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class RulesText:
    """A whole file."""

    factory: str
    rules: tuple[RuleText, ...]

    def to_text(self) -> str:
        used = [name for name in POOLS if any(name in rule.starts for rule in self.rules)]
        resources = f"resources: {{{', '.join(f'{name}: {POOLS[name]}' for name in used)}}}\n" if used else ""
        pipelines = any("pipeline" in rule.action for rule in self.rules)
        top = "version: 1\n" + (self.factory if pipelines else "") + resources
        return top + "reactions:\n" + "".join(rule.to_text() for rule in self.rules)

    def says(self, text: str) -> bool:
        return text in self.to_text()


def _rule(name: str) -> st.SearchStrategy[RuleText]:
    return st.builds(
        RuleText,
        name=st.just(name),
        action=st.sampled_from(_ACTIONS),
        lanes=st.sampled_from(_LANES),
        batches=st.sampled_from(_BATCHES),
        policy=st.sampled_from(_POLICIES),
        starts=st.sampled_from(_STARTS),
        attempts=st.integers(1, 3),
    )


def rules_texts() -> st.SearchStrategy[RulesText]:
    """Files of one to three rules."""
    several = st.integers(1, 3).flatmap(lambda count: st.tuples(*(_rule(name) for name in ("a", "b", "c")[:count])))
    return st.builds(RulesText, factory=st.sampled_from(_FACTORIES), rules=several)
