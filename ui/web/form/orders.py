"""What the buttons of the form do: hand in a job, change one that is there, make a clip longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.app import Studio
from studio.catalog.schema import ModelSpec
from studio.errors import StudioError
from studio.jobs.job import Job
from studio.jobs.states import JobState
from studio.people.visitor import Action, Visitor, require
from studio.request import GenerationRequest
from ui.api.problems import usable_fix, without_paths
from ui.web.backstage.bench import Bench
from ui.web.backstage.estimating import Estimated
from ui.web.backstage.extensions import ExtensionRun
from ui.web.form.extension import extension_wish
from ui.web.form.fields import fields_of
from ui.web.form.forms import field_named, request_of
from ui.web.form.state import Filler, FormState, Kept
from ui.web.words import say

_CHANGED = (
    *("model", "prompt", "negative_prompt", "seed", "width", "height", "num_frames", "duration_seconds", "frame_rate"),
    *("num_inference_steps", "guidance_scale", "generate_audio", "options", "conditionings"),
)


@dataclass(frozen=True)
class Orders:
    """Does what one visitor asks for. Every method raises `NotAllowed` for a viewer."""

    studio: Studio
    bench: Bench
    visitor: Visitor

    def make(self, spec: ModelSpec, state: FormState, values: Mapping[str, Any]) -> Job:
        """Put a clip into the queue; it is the visitor's. Raises what is wrong with it."""
        require(self.visitor, Action.MAKE)
        request, wish = request_of(spec, self.filled(spec, state, values))
        return self.studio.desk.submit(request, replace(wish, owner=self.visitor.name))

    def change(self, spec: ModelSpec, state: FormState, values: Mapping[str, Any]) -> Job:
        """Change the job that is edited: where it stands if it waits; one that has ended goes into the queue again."""
        job = self.studio.desk.job(state.subject)
        require(self.visitor, Action.CHANGE, job.id, self.studio.people)
        request, wish = request_of(spec, self.filled(spec, state, values))
        changes = changes_of(request)
        if job.state == JobState.QUEUED:
            return self.studio.desk.change(job.id, changes, wish)
        return self.studio.desk.retry(job.id, changes, wish)

    def extend(self, spec: ModelSpec, state: FormState, values: Mapping[str, Any]) -> ExtensionRun:
        """Begin to make a clip longer, beside the page."""
        require(self.visitor, Action.MAKE)
        wish = extension_wish(spec, state.subject, values)
        return self.bench.extensions.start(wish, self.visitor, spec.id)

    def estimate(self, spec: ModelSpec, state: FormState, values: Mapping[str, Any]) -> Estimated:
        """Say what a clip would take, that this is being worked out, or what is wrong. It never waits long."""
        try:
            request, _ = request_of(spec, self.filled(spec, state, values))
        except StudioError as error:
            return Estimated(key="", error=error)
        return self.bench.estimator.ask(spec, request)

    def filled(self, spec: ModelSpec, state: FormState, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values together with the files that need no upload."""
        names = {field.name: field for field in fields_of(spec)}
        found = dict(values)
        usable = [item for item in state.kept if item.role in names and _is_free(item, found, names[item.role].most)]
        for role, paths in Filler(self.studio, self.bench, self.visitor).paths(usable).items():
            given = found.get(role)
            uploads = given if isinstance(given, list) else [given] if given else []
            found[role] = [*paths, *uploads]
        return found


def changes_of(request: GenerationRequest) -> dict[str, Any]:
    """Return the fields of a request as changes of a job; one that is None goes back to what the row says."""
    return {name: getattr(request, name) for name in _CHANGED}


def told_error(error: StudioError, spec: ModelSpec, home: Path) -> dict[str, Any]:
    """Return what a script shows of an error. field: of the form, where it has one for it. home: told to nobody."""
    told = without_paths(error.as_json(), home)
    name = field_named(spec, told["field"])
    label = next((field.label for field in fields_of(spec) if field.name == name), told["field"])
    fix = usable_fix(told["fix"])
    parts = [f"{label}: {told['message']}" if label else told["message"]]
    parts += [say("create.got", got=told["got"])] if told["got"] is not None else []
    parts += [say("create.allowed", allowed=told["allowed"])] if told["allowed"] else []
    parts += [fix] if fix else []
    return {"error": "; ".join(part.rstrip(".") for part in parts) + ".", "field": name}


def _is_free(kept: Kept, values: Mapping[str, Any], most: int) -> bool:
    """Say whether a kept file counts: a file that was uploaded takes the place of one that is alone."""
    return most > 1 or not values.get(kept.role)
