"""A drawn form with all that stands around its fields: where its values come from, pictures, presets, prompts."""

from __future__ import annotations

import html
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from studio.app import Studio
from studio.catalog.schema import ModelSpec
from studio.errors import StudioError
from studio.jobs.states import JobState
from studio.people.presets import MAX_NAME, Presets, recent_prompts
from studio.people.visitor import Action, Visitor
from ui.web.form.extension import can_extend
from ui.web.form.fields import Field, facts_of
from ui.web.form.state import FormState, Kept
from ui.web.form.view import FormView, draw, paragraph
from ui.web.frame.shell import AT_ONCE
from ui.web.views.models import in_order
from ui.web.words import say

_MAX_SHOWN = 90
_DRAWN_SEEDS = 2**32


@dataclass(frozen=True)
class FormParts:
    """What there is to listen to. kept: pictures with the button that takes each out. leave: ends edit or extension."""

    view: FormView
    kept: tuple[tuple[Kept, Any], ...]
    leave: Any
    presets: Any = None
    name: Any = None
    save: Any = None
    delete: Any = None


def draw_parts(
    studio: Studio,
    visitor: Visitor,
    spec: ModelSpec,
    state: FormState,
    fields: Sequence[Field],
    values: Mapping[str, Any],
) -> FormParts:
    """Put the form into the page. values: by field; what is left out stands at its default."""
    gr.HTML(f'<div id="create-form-of" data-model="{spec.id}" hidden></div>', elem_classes=["create-mark"])
    leave = _banner(studio, spec, state)
    if not visitor.may(Action.MAKE):
        gr.HTML(paragraph(say("create.viewer"), "badge", "warn"))
    kept = tuple((item, _chip(item)) for item in state.kept if any(field.name == item.role for field in fields))
    helped = partial(_help_with_prompt, studio, visitor, spec, values)
    view = draw(fields, values, (spec.id, state.mode, state.fill), helped)
    if view.dice is not None:
        view.dice.click(lambda: str(secrets.randbelow(_DRAWN_SEEDS)), outputs=[view.components["seed"]], **AT_ONCE)
    facts = facts_of(spec)
    if facts and state.mode != "extend":
        gr.HTML(paragraph(say("create.fixed", facts=", ".join(facts)), "quiet", "create-facts"))
    if state.mode == "extend":
        return FormParts(view=view, kept=kept, leave=leave)
    presets, name, save, delete = _presets(studio, visitor, spec, state)
    return FormParts(view=view, kept=kept, leave=leave, presets=presets, name=name, save=save, delete=delete)


def change_label(studio: Studio, state: FormState) -> str:
    """Return what the second button says while a job is edited."""
    try:
        is_waiting = studio.desk.job(state.subject).state == JobState.QUEUED
    except StudioError:
        is_waiting = False
    return say("create.change") if is_waiting else say("create.edit.retry")


def preset_choices(presets: Presets, visitor: Visitor, spec: ModelSpec) -> list[tuple[str, str]]:
    """Return a visitor's presets as choices."""
    return [(preset.name, preset.id) for preset in presets.of_model(visitor, spec.id)]


def _banner(studio: Studio, spec: ModelSpec, state: FormState) -> Any:
    """Say what the form is about, where it is not simply a new clip. Return the button that leaves it."""
    lines = list(state.notes)
    leave = "create.recipe.leave"
    if state.mode == "edit":
        waits = change_label(studio, state) == say("create.change")
        lines = [say("create.edit.title", job=state.subject), say(f"create.edit.{'waiting' if waits else 'ended'}")]
        leave = "create.edit.leave"
    if state.mode == "extend":
        lines, leave = _about_extension(studio, spec, state), "create.extension.leave"
    lines += [say("create.recipe.missing", role=say(f"create.label.{role}").lower()) for role in state.missing]
    if not lines:
        return None
    with gr.Column(elem_classes=["create-banner", "panel"]):
        gr.HTML(
            "".join(paragraph(line, "create-title" if number == 0 else "quiet") for number, line in enumerate(lines))
        )
        return gr.Button(say(leave), size="sm", variant="secondary", key=("leave", state.fill, state.mode))


def _about_extension(studio: Studio, spec: ModelSpec, state: FormState) -> list[str]:
    lines = [say("create.extension.title", asset=state.subject)]
    try:
        asset = studio.store.asset(state.subject)
    except StudioError as error:
        return [*lines, error.sentence()]
    seconds = f"{asset.num_frames / float(asset.frame_rate):.3g}"
    lines.append(say("create.extension.length", seconds=seconds, frames=asset.num_frames))
    if not can_extend(spec):
        able = [item.spec.name for item in in_order(studio.models()) if item.readiness.ready and can_extend(item.spec)]
        lines.append(say("create.extension.cannot", model=spec.name, names=", ".join(able[:4]) or "-"))
    return [*lines, say("create.extension.note")]


def _chip(kept: Kept) -> Any:
    """Show a picture that needs no upload. Return the button that takes it out."""
    name = "create.frame_of" if kept.role == "first-frame" else "create.picture_of_asset"
    told = say("create.picture_of_job", job=kept.job) if kept.asset is None else say(name, asset=kept.asset)
    with gr.Row(elem_classes=["create-chip"]):
        picture = "" if kept.asset is None or kept.role == "source-video" else (
            f'<img src="/studio/media/{kept.asset}" alt="" loading="lazy" width="96" height="54">')  # fmt: skip
        gr.HTML(f'<div class="row">{picture}<div>{paragraph(say(f"create.label.{kept.role}"), "create-title")}'
                f"{paragraph(told, 'quiet')}</div></div>")  # fmt: skip
        return gr.Button(
            say("create.take_out"), size="sm", key=("out", kept.role, kept.asset or kept.job or "", kept.number)
        )


def _help_with_prompt(
    studio: Studio, visitor: Visitor, spec: ModelSpec, values: Mapping[str, Any], made: Mapping[str, Any]
) -> None:
    """Draw what a small model understands, a prompt that works, and earlier prompts. made: components by field."""
    prompt = made.get("prompt")
    if prompt is None:
        return
    earlier = recent_prompts(studio.store, visitor)
    grammar = " ".join(spec.parameters.prompt_grammar.split())
    if grammar and not values.get("prompt") and not earlier:
        suggestion = say("create.suggestion")
        button = gr.Button(f"{say('create.try_this')}: {suggestion}", size="sm", elem_id="create-suggestion",
                           key=("suggestion", spec.id))  # fmt: skip
        button.click(lambda: suggestion, outputs=[prompt], **AT_ONCE)
    if grammar:
        words = paragraph(say("create.grammar", grammar=grammar), "quiet")
        title = html.escape(say("create.grammar_title"))
        gr.HTML(f'<details class="create-grammar"><summary>{title}</summary>{words}</details>')
    if earlier:
        choices = [(_short(text), text) for text in earlier]
        history = gr.Dropdown(choices, value=None, filterable=True, label=say("create.history"),
                              info=say("create.history_hint"), elem_id="create-history",
                              key=("history", spec.id))  # fmt: skip
        history.input(lambda text: text or gr.skip(), [history], [prompt], **AT_ONCE)


def _presets(studio: Studio, visitor: Visitor, spec: ModelSpec, state: FormState) -> tuple[Any, Any, Any, Any]:
    key = (spec.id, state.fill)
    choices = preset_choices(Presets(studio.store), visitor, spec)
    chosen = state.source_id if state.source == "preset" else None
    with (
        gr.Accordion(say("create.presets"), open=bool(choices), elem_classes=["create-more"], elem_id="create-presets"),
        gr.Row(elem_classes=["create-grid"]),
    ):
        presets = gr.Dropdown(choices, value=chosen, label=say("create.presets"), key=("presets", *key))
        delete = gr.Button(say("create.preset_delete"), size="sm", key=("preset-delete", *key))
        name = gr.Textbox(label=say("create.preset_name"), max_lines=1, max_length=MAX_NAME, key=("preset-name", *key))
        save = gr.Button(say("create.preset_save"), size="sm", key=("preset-save", *key))
    return presets, name, save, delete


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 1]}…"
