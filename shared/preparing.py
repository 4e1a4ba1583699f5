"""What only the start can tell: whether the data are fit, the models that are live by then, the batch's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from shared import chains
from shared.errors import TargetBusy, TargetRefused, TargetUnavailable
from shared.models import ModelVersion
from shared.ports import Clock, Lanes, Manifests, Workspace
from shared.reactions import RenderedAction, State
from shared.starts import Granted
from shared.steps import HeldSteps, Step, advised_wait
from shared.vetting import Vetting

NOT_LIVE_WAIT: Final = timedelta(minutes=1)
"""How often an endpoint is asked again that has no live model yet."""


class Preparing:
    """Completes what a reaction is started with, and has its start admitted."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        manifests: Manifests,
        workspace: Workspace,
        clock: Clock,
        steps: HeldSteps,
        vetting: Vetting | None = None,
    ) -> None:
        """`vetting`: where a rule may require something of its data."""
        self._vetting = vetting
        self._lanes = lanes
        self._manifests = manifests
        self._workspace = workspace
        self._clock = clock
        self._steps = steps

    def admit(self, step: Step, action: RenderedAction) -> tuple[Step, Granted | None]:
        """From pending: the data are fit, what is live is known, all the start needs is held, the manifest is there.

        None is granted where it has to wait, or has ended, or is to be begun anew: then the step is saved as such.
        """
        vetted = self._vetting.vet(step) if self._vetting is not None else None
        if vetted is not None:
            return vetted, None
        live = self._live_models(step, action)
        if isinstance(live, Step):
            return live, None
        step, granted = self._steps.admit(step)
        if granted is None:
            return step, None
        if live:
            step = self._settle_live(step, action, live)
        reaction = step.reaction
        if action.needs_manifest and not reaction.manifest_written:
            # Whoever goes on after a death writes it again: the first one stays.
            events = step.taken if step.taken is not None else chains.events_of(self._lanes, reaction)
            self._manifests.write(reaction, events)
            step = replace(step, reaction=replace(reaction, manifest_written=True))
        return step, granted

    def _live_models(self, step: Step, action: RenderedAction) -> Mapping[str, ModelVersion] | Step:
        """By endpoint, what the parameters are still to name; or the step, saved, if that cannot be told now."""
        try:
            found = {name: self._workspace.live_model(name) for name in action.live_endpoints}
        except TargetRefused as error:
            return self._steps.end(step, State.FAILED, f"the live model cannot be asked for: {error}")
        except (TargetBusy, TargetUnavailable) as error:
            wait = advised_wait(error, step.reaction)
            return self._steps.wait(step, f"the live model cannot be asked for: {error}", wait)
        missing = [name for name, model in found.items() if model is None]
        if missing:
            return self._steps.wait(step, f"no model is live on endpoint {', '.join(missing)} yet", NOT_LIVE_WAIT)
        return {name: model for name, model in found.items() if model is not None}

    def _settle_live(self, step: Step, action: RenderedAction, live: Mapping[str, ModelVersion]) -> Step:
        """Which model is live when the first attempt starts is fixed in the reaction, whatever the attempt."""
        told = ", ".join(f"{model.ref} is live on {name}" for name, model in live.items())
        settled = action.with_live({name: model.asset for name, model in live.items()})
        now = self._clock.now()
        return self._steps.save(step, step.reaction.moved_to(State.PENDING, told, now, action=settled, next_look=None))
