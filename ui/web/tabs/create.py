"""The tab Create: choose a model, fill in its form, watch the clip being made."""

from __future__ import annotations

import html
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from studio.catalog.schema import ModelSpec
from studio.errors import StudioError
from studio.people.presets import Presets
from studio.people.visitor import Action, Visitor, require
from ui.web.form.extension import can_extend, extension_fields
from ui.web.form.fields import COMMON, fields_of
from ui.web.form.forms import defaults_of
from ui.web.form.orders import Orders, told_error
from ui.web.form.parts import FormParts, change_label, draw_parts, preset_choices
from ui.web.form.state import Filler, FormState, Kept
from ui.web.frame.answering import answering
from ui.web.frame.shell import AT_ONCE, Shell
from ui.web.frame.widget import widget
from ui.web.views.models import estimate_view, make_label
from ui.web.visitor import visitor_of
from ui.web.words import say


@dataclass(frozen=True)
class CreateTab:
    """Its components. state: a `FormState`; tick: changes whenever it was set, for browsers do not hear of states.

    bench: what is being made, and what came of a press of the button.
    """

    picker: gr.HTML
    state: gr.State
    tick: gr.Textbox
    make: gr.Button
    other: gr.Button
    estimate: gr.HTML
    bench: gr.HTML


def build(shell: Shell) -> CreateTab:
    """Put the tab together."""
    state = gr.State(FormState().as_json())
    tick = gr.Textbox(visible="hidden", label="", elem_id="create-tick")
    with gr.Row(elem_id="create", equal_height=False):
        with gr.Column(elem_id="create-form", scale=0, min_width=380):
            picker = widget("picker", label=say("create.picker.label"), events=("picked",))
            with gr.Column(elem_id="create-fields"):
                redraw = gr.Column()
            with gr.Column(elem_id="create-bar"):
                with gr.Row(elem_id="create-buttons"):
                    make = gr.Button(say("create.make"), variant="primary", elem_id="create-make", scale=3)
                    other = gr.Button("", visible=False, elem_id="create-other", scale=2)
                estimate = widget("estimate", label=say("create.estimate.title"))
        with gr.Column(elem_id="create-bench", scale=1, min_width=320):
            bench = widget("workbench", label=say("create.bench.title"))
    tab = CreateTab(picker=picker, state=state, tick=tick, make=make, other=other, estimate=estimate, bench=bench)
    with redraw:
        _draw_form(shell, tab)
    shell.on_errand("create", _errands(shell), inputs=[state], outputs=[state, tick, bench])
    gr.on(
        None, answering(_surroundings(shell)), inputs=[state, tick], outputs=[picker, make, other, estimate], **AT_ONCE
    )
    return tab


def _told(state: FormState) -> tuple[dict[str, Any], str]:
    """Return a state as the session holds it, and what makes the browser ask for its form."""
    return state.as_json(), uuid.uuid4().hex


def _errands(shell: Shell) -> Callable[..., Any]:
    def run(errand: Mapping[str, Any], request: gr.Request, told: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Do what another tab asks for. What was typed comes with the errand: a script looked."""
        visitor = visitor_of(request)
        require(visitor, Action.MAKE)
        filler = Filler(shell.studio, shell.bench, visitor)
        prompt = errand.get("prompt")
        draft = {"prompt": prompt} if isinstance(prompt, str) and prompt else {}
        new = filler.of_errand(errand, replace(FormState.from_json(told), draft=draft))
        spec = filler.spec(new)
        return *_told(replace(new, model=spec.id)), {"filled": new.fill}

    return run


def _surroundings(shell: Shell) -> Any:
    def fit(told: dict[str, Any], _tick: str) -> tuple[Any, Any, Any, Any]:
        """Fit what stands around the form to it."""
        visitor, state = _visitor(), FormState.from_json(told)
        filler = Filler(shell.studio, shell.bench, visitor)
        spec = filler.spec(state)
        may, other = visitor.may(Action.MAKE), gr.update(visible=False)
        picked = {"model": spec.id, "number": state.fill}
        if state.mode == "extend":
            label = gr.update(value=say("create.extend"), interactive=may and can_extend(spec))
            return picked, label, other, {"model": spec.id}
        values = defaults_of(spec) | _values(filler, state, spec)[1]
        found = Orders(shell.studio, shell.bench, visitor).estimate(spec, state, values)
        view = {"model": spec.id, **estimate_view(found, spec, shell.studio.settings.home)}
        if state.mode == "edit":
            other = gr.update(value=change_label(shell.studio, state), visible=True)
            return picked, gr.update(value=say("create.make_new"), interactive=may), other, view
        return picked, gr.update(value=make_label(view), interactive=may), other, view

    return fit


def _values(filler: Filler, state: FormState, spec: ModelSpec) -> tuple[FormState, dict[str, Any]]:
    """Return what stands in a form at first; an empty one, and why, where what it was to be filled with is gone."""
    try:
        return state, filler.values(state, spec)
    except StudioError as error:
        return replace(state, source="empty", notes=(error.sentence(),)), {}


def _visitor() -> Visitor:
    """Return who asks: a drawn form is not handed the request."""
    return visitor_of(LocalContext.request.get())


def _draw_form(shell: Shell, tab: CreateTab) -> None:
    """Draw the form anew whenever another one is wanted."""

    @gr.render(inputs=[tab.state, tab.tick], queue=False, show_progress="hidden")  # type: ignore[untyped-decorator]
    def show(told: dict[str, Any], _tick: str) -> None:
        visitor, state = _visitor(), FormState.from_json(told)
        filler = Filler(shell.studio, shell.bench, visitor)
        spec = filler.spec(state)
        state, values = _values(filler, state, spec)
        fields = extension_fields(spec) if state.mode == "extend" else fields_of(spec)
        parts = draw_parts(shell.studio, visitor, spec, state, fields, values)
        _Wiring(shell, tab, spec, state, parts).connect()


@dataclass(frozen=True)
class _Wiring:
    """The listeners of one drawn form."""

    shell: Shell
    tab: CreateTab
    spec: ModelSpec
    state: FormState
    parts: FormParts

    def connect(self) -> None:
        tab, view = self.tab, self.parts.view
        inputs = {*view.inputs}
        # Each press is an order of its own, also while another one is on its way.
        pressed: dict[str, Any] = {"inputs": inputs, "outputs": [tab.bench], "trigger_mode": "multiple", **AT_ONCE}
        tab.make.click(answering(self._make), **pressed)
        if self.state.mode == "edit":
            tab.other.click(answering(self._change), **pressed)
        told = [*view.components.values()]
        tab.picker.picked(answering(self._pick), inputs=[tab.picker, *told], outputs=[tab.state, tab.tick], **AT_ONCE)
        changes = [
            item.change for name, item in view.components.items() if view.fields[name].group not in ("prompt", "job")
        ]
        if changes and self.state.mode != "extend":
            gr.on(changes, answering(self._estimate), inputs=inputs, outputs=[tab.estimate, tab.make],
                  trigger_mode="always_last", **AT_ONCE)  # fmt: skip
        self._connect_parts(inputs)

    def _connect_parts(self, inputs: set[Any]) -> None:
        parts, form = self.parts, [self.tab.state, self.tab.tick]
        for kept, button in parts.kept:
            told = [*parts.view.components.values()]
            button.click(answering(self._taking_out(kept)), inputs=told, outputs=form, **AT_ONCE)
        if parts.leave is not None:
            parts.leave.click(self._leave, outputs=form, **AT_ONCE)
        if parts.presets is not None:
            parts.presets.input(answering(self._use_preset), inputs=[parts.presets], outputs=form, **AT_ONCE)
            parts.delete.click(
                answering(self._delete_preset), inputs=[parts.presets], outputs=[parts.presets], **AT_ONCE
            )
            parts.save.click(answering(self._save_preset), inputs=inputs | {parts.name},
                             outputs=[parts.presets, parts.name], **AT_ONCE)  # fmt: skip

    # -- another form -----------------------------------------------------------------------------------------------

    def _pick(self, choice: Mapping[str, Any] | None, *values: Any) -> Any:
        """Choose a model. What is common to all forms stays as it is."""
        model = (choice or {}).get("model")
        if not isinstance(model, str) or model == self.spec.id:
            return gr.skip(), gr.skip()
        draft = self._draft(values, COMMON)
        if self.state.mode == "extend":
            return _told(replace(self.state, model=model, draft=draft))
        return _told(FormState(model=model, fill=self.state.fill + 1, kept=self.state.kept, draft=draft))

    def _taking_out(self, kept: Kept) -> Callable[..., Any]:
        def take_out(*values: Any) -> Any:
            draft = self._draft(values, tuple(self.parts.view.fields))
            return _told(replace(self.state.without(kept), draft=draft, fill=self.state.fill + 1))

        return take_out

    def _draft(self, values: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
        """Return what was typed, for the form that comes next."""
        found = dict(zip(self.parts.view.components, values, strict=True))
        return {name: found[name] for name in names if found.get(name) not in (None, "")}

    # -- what the buttons do --------------------------------------------------------------------------------------

    def _orders(self) -> Orders:
        return Orders(self.shell.studio, self.shell.bench, _visitor())

    def _make(self, told: dict[Any, Any]) -> dict[str, Any]:
        orders, values = self._orders(), self.parts.view.values(told)
        if self.state.mode == "extend":
            return self._answer(lambda: {"extension": orders.extend(self.spec, self.state, values).id})
        return self._answer(lambda: {"job": orders.make(self.spec, self.state, values).id})

    def _change(self, told: dict[Any, Any]) -> dict[str, Any]:
        return self._answer(
            lambda: {"job": self._orders().change(self.spec, self.state, self.parts.view.values(told)).id}
        )

    def _answer(self, work: Any) -> dict[str, Any]:
        """Return what came of a press: the script that drew a card for it takes the card away where it was refused."""
        try:
            return {"answer": uuid.uuid4().hex, **work()}
        except StudioError as error:
            return {"answer": uuid.uuid4().hex, **told_error(error, self.spec, self.shell.studio.settings.home)}

    def _estimate(self, told: dict[Any, Any]) -> tuple[dict[str, Any], Any]:
        found = self._orders().estimate(self.spec, self.state, self.parts.view.values(told))
        view = estimate_view(found, self.spec, self.shell.studio.settings.home)
        return {"model": self.spec.id, **view}, gr.update(value=make_label(view))

    # -- presets --------------------------------------------------------------------------------------------------

    def _leave(self) -> Any:
        return _told(FormState(model=self.spec.id, fill=self.state.fill + 1, source="empty"))

    def _use_preset(self, preset: str | None) -> Any:
        if not preset:
            return gr.skip(), gr.skip()
        fill = self.state.fill + 1
        return _told(replace(self.state, source="preset", source_id=preset, fill=fill, notes=()))

    def _save_preset(self, told: dict[Any, Any]) -> tuple[Any, Any]:
        visitor = _visitor()
        require(visitor, Action.MAKE)
        names = {
            name for name, field in self.parts.view.fields.items() if field.kind not in ("picture", "pictures", "video")
        }
        values = {name: value for name, value in self.parts.view.values(told).items() if name in names}
        presets = Presets(self.shell.studio.store)
        saved = presets.save(visitor, self.spec.id, str(told[self.parts.name] or ""), values)
        gr.Info(say("create.preset_saved", preset=html.escape(saved.name)))
        return gr.update(choices=preset_choices(presets, visitor, self.spec), value=saved.id), ""

    def _delete_preset(self, preset: str | None) -> Any:
        if not preset:
            return gr.skip()
        visitor, presets = _visitor(), Presets(self.shell.studio.store)
        require(visitor, Action.MAKE)
        gone = presets.remove(visitor, preset)
        gr.Info(say("create.preset_deleted", preset=html.escape(gone.name)))
        return gr.update(choices=preset_choices(presets, visitor, self.spec), value=None)
