"""Makes a rule of what the file says, once nothing is wrong with it."""

from __future__ import annotations

from shared.rules import schema
from shared.rules.values import (
    DEFAULT_GIVE_UP_AFTER,
    DEFAULT_ROLLOUT_TIMEOUT,
    DEFAULT_TIMEOUT,
    MAX_WAIT_PER_QUIET,
    Action,
    Collect,
    DeployModel,
    DriftDetectedTrigger,
    FactoryLimits,
    FileLandedTrigger,
    FileOverdueTrigger,
    Gate,
    Limits,
    Mode,
    ModelRegisteredTrigger,
    Notify,
    Require,
    Retry,
    Revision,
    Rule,
    Rules,
    RunJob,
    RunPipeline,
    Serving,
    Trigger,
)


def rules(content: schema.RulesFile, revision: Revision) -> Rules:
    """The rules of a file that the checks found right."""
    return Rules(
        revision=revision,
        rules={name: rule(name, reaction) for name, reaction in content.reactions.items()},
        mode=content.mode or Mode.ACT,
        factory=FactoryLimits(**content.factory.given()),
        resources=content.resources,
    )


def rule(name: str, reaction: schema.Reaction) -> Rule:
    """The rule of a reaction that the checks found right."""
    return Rule(
        name=name,
        trigger=_trigger(reaction.when),
        collect=_collect(reaction.collect),
        action=_action(reaction),
        limits=_limits(reaction.limits),
        retry=Retry(**reaction.retry.given()),
        timeout=reaction.timeout or (DEFAULT_TIMEOUT if reaction.deploy_model is None else DEFAULT_ROLLOUT_TIMEOUT),
        mode=reaction.mode or Mode.ACT,
        require=Require(**reaction.require.given()) if reaction.require is not None else None,
        writes=tuple(reaction.writes),
    )


def _trigger(when: schema.When) -> Trigger:
    if when.file_landed is not None:
        return FileLandedTrigger(path=when.file_landed.path, exclude=tuple(when.file_landed.exclude))
    if when.drift_detected is not None:
        given = when.drift_detected.given()
        return DriftDetectedTrigger(**{**given, "signals": tuple(given.get("signals", ()))})
    if when.file_overdue is not None:
        overdue = when.file_overdue
        return FileOverdueTrigger(path=overdue.path, every=overdue.expect, exclude=tuple(overdue.exclude))
    assert when.model_registered is not None, "the checks let no rule pass without an event"
    return ModelRegisteredTrigger(**when.model_registered.given())


def _collect(collect: schema.Collect) -> Collect:
    given = collect.given()
    if "all_of" in given:
        given = {"give_up_after": DEFAULT_GIVE_UP_AFTER, **given, "all_of": tuple(given["all_of"])}
    if "quiet" in given:
        given = {"max_wait": MAX_WAIT_PER_QUIET * given["quiet"], **given}
    return Collect(**given)


def _limits(limits: schema.Limits) -> Limits:
    given = limits.given()
    if "resources" in given:
        given["resources"] = tuple(given["resources"])
    return Limits(**given)


def _action(reaction: schema.Reaction) -> Action:
    if reaction.run_pipeline is not None:
        return RunPipeline(pipeline=reaction.run_pipeline, with_=reaction.with_)
    if reaction.run_job is not None:
        return RunJob(**reaction.run_job.given(), with_=reaction.with_)
    if reaction.notify is not None:
        return Notify(text=reaction.notify)
    assert reaction.deploy_model is not None, "the checks let no rule pass without an action"
    given = reaction.deploy_model.given()
    given["serving"] = Serving(**given["serving"].given())
    if "gate" in given:
        given["gate"] = _gate(given["gate"])
    return DeployModel(**given)


def _gate(gate: schema.Gate) -> Gate:
    given = gate.given()
    del given["better_than"]  # there is only the live model to be better than
    return Gate(**given)
