"""The rules: what they say as values. Reading them from a file is `shared.rules.file`, which costs more to import."""

from shared.rules.values import (
    Collect,
    FileLandedTrigger,
    Limits,
    Match,
    Retry,
    Revision,
    Rule,
    Rules,
    RunPipeline,
    WhileRunning,
)

__all__ = [
    "Collect",
    "FileLandedTrigger",
    "Limits",
    "Match",
    "Retry",
    "Revision",
    "Rule",
    "Rules",
    "RunPipeline",
    "WhileRunning",
]
