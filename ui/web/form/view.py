"""A form's fields as gradio's components, and where each stands."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import gradio as gr

from studio.errors import StudioError
from ui.web.form.fields import Choice, Field, Group, length_label
from ui.web.form.forms import rate_of
from ui.web.words import say

Key = tuple[str | int, ...]
_QUIET: Mapping[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
# A longer help of a prompt folds away below it.
_MAX_HELP = 100
_VIDEOS = [".mp4", ".mov", ".mkv", ".webm", ".gif"]
_PICTURES = [".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".bmp", ".tif", ".tiff"]
_GROUPS: Mapping[Group, str] = {"own": "own_options", "how": "how", "job": "job"}


@dataclass(frozen=True)
class FormView:
    """The components of a form by field. It is drawn anew for each model and each filling."""

    fields: Mapping[str, Field]
    components: Mapping[str, Any]
    dice: Any = None

    @property
    def inputs(self) -> set[Any]:
        """What a listener takes that wants all values."""
        return set(self.components.values())

    def values(self, told: Mapping[Any, Any]) -> dict[str, Any]:
        """Return values by field from what a listener got by component."""
        return {name: told[item] for name, item in self.components.items() if item in told}


def draw(
    fields: Sequence[Field], values: Mapping[str, Any], key: Key, below_prompt: Callable[[Mapping[str, Any]], None]
) -> FormView:
    """Put fields into the page. values: by field; what is left out stands at its default. key: of model and filling.

    below_prompt: draws what helps to write one; it is handed the components so far.
    """
    by_group: dict[Group, list[Field]] = {}
    for field in fields:
        by_group.setdefault(field.group, []).append(field)
    made: dict[str, Any] = {}
    dice: list[Any] = []

    def add(items: Iterable[Field]) -> None:
        for item in items:
            if item.name != "seed":
                made[item.name] = _component(item, values, key)
                continue
            with gr.Row(elem_classes=["create-seed"]):
                made[item.name] = _component(item, values, key)
                dice.append(gr.Button(say("create.dice"), size="sm", min_width=40, key=("dice", *key)))

    for group in ("prompt", "material", "clip"):
        with gr.Row(elem_classes=["create-grid", f"create-{group}"]):
            add(by_group.get(group, ()))
        if group == "prompt":
            below_prompt(made)
    for group, name in _GROUPS.items():
        if group in by_group:
            more = gr.Accordion(say(f"create.{name}"), open=False, elem_classes=["create-more"])
            with more, gr.Row(elem_classes=["create-grid"]):
                add(by_group[group])
    view = FormView(fields={field.name: field for field in fields}, components=made, dice=next(iter(dice), None))
    _reveal(view)
    _keep_lengths_true(view)
    return view


def _reveal(view: FormView) -> None:
    """Show fields that count only with a value of another one while it has that value."""
    for name, field in view.fields.items():
        if field.shown_if is None:
            continue
        other, wanted = field.shown_if
        show = _shower(wanted)
        view.components[other].change(show, [view.components[other]], [view.components[name]], **_QUIET)


def _keep_lengths_true(view: FormView) -> None:
    """Tell lengths in seconds of the frame rate that is chosen."""
    field, rate = view.fields.get("num_frames"), view.components.get("frame_rate")
    if field is None or rate is None or field.kind != "choice":
        return

    def told(text: str | None) -> Any:
        try:
            found = rate_of(text or None)
        except StudioError:  # somebody is still typing
            found = None
        if found is None:
            return gr.skip()
        return gr.update(choices=[(_length(item, found), item.value) for item in field.choices])

    rate.change(told, [rate], [view.components["num_frames"]], **_QUIET)


def _length(choice: Choice, rate: Fraction) -> str:
    return length_label(int(choice.value), rate) if choice.value else choice.label


def _shower(wanted: str) -> Callable[[Any], Any]:
    return lambda value: gr.update(visible=value == wanted)


def _component(field: Field, values: Mapping[str, Any], key: Key) -> Any:
    value = values.get(field.name, field.default)
    is_shown = field.shown_if is None or values.get(field.shown_if[0]) == field.shown_if[1]
    shared: dict[str, Any] = {
        "label": f"{field.label} ({field.unit})" if field.unit else field.label,
        "elem_id": f"create-field-{field.name.replace('.', '-')}",
        "elem_classes": ["create-field", f"create-kind-{field.kind}"],
        "key": (field.name, *key),
        "interactive": True,
        "visible": is_shown,
        "min_width": 120,
    }
    return _MAKERS[field.kind](field, value, shared)


def _lines(field: Field, value: Any, shared: dict[str, Any]) -> Any:
    is_prompt = field.name == "prompt"
    return gr.Textbox(
        value=value or "",
        lines=3 if is_prompt else 1,
        max_lines=12,
        info=field.help if 0 < len(field.help) <= _MAX_HELP else None,
        placeholder=say("create.prompt_placeholder") if is_prompt else None,
        max_length=field.max_characters,
        **shared,
    )


def _text(field: Field, value: Any, shared: dict[str, Any]) -> Any:
    placeholder = say("create.no_seed") if field.name == "seed" else None
    return gr.Textbox(value="" if value is None else str(value), lines=1, max_lines=1, info=field.help or None,
                      placeholder=placeholder, **shared)  # fmt: skip


def _number(field: Field, value: Any, shared: dict[str, Any]) -> Any:
    return gr.Number(value=value, step=field.step, info=field.help or None, **shared)


def _choice(field: Field, value: Any, shared: dict[str, Any]) -> Any:
    choices = [(choice.label, choice.value) for choice in field.choices]
    known = {choice.value for choice in field.choices}
    return gr.Dropdown(choices=choices, value=value if value in known else field.default, info=field.help or None,
                       filterable=len(choices) > 8, **shared)  # fmt: skip


def _switch(field: Field, value: Any, shared: dict[str, Any]) -> Any:
    return gr.Checkbox(value=bool(value), info=field.help or None, **shared)


def _picture(field: Field, value: Any, shared: dict[str, Any]) -> Any:
    picture = gr.Image(
        value=value,
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard", "webcam"],
        height=120,
        buttons=[],
        placeholder=field.help,
        **shared,
    )
    # The file that was dropped, byte for byte: its credentials must survive. The studio says whether it can be read.
    setattr(picture, "preprocess", _path_of)  # noqa: B010 - no subclass: gradio writes a stub file for each
    return picture


def _path_of(payload: Any) -> str | None:
    return None if payload is None else str(payload.path)


def _file(field: Field, value: Any, shared: dict[str, Any]) -> Any:
    is_video = field.kind == "video"
    label = f"{shared.pop('label')}: {field.help}" if field.help else shared.pop("label")
    return gr.File(
        value=value,
        file_count="single" if is_video else "multiple",
        file_types=_VIDEOS if is_video else _PICTURES,
        type="filepath",
        height=120,
        label=label,
        **shared,
    )


_MAKERS: Mapping[str, Callable[[Field, Any, dict[str, Any]], Any]] = {
    "lines": _lines, "text": _text, "whole": _number, "number": _number, "choice": _choice, "switch": _switch,
    "picture": _picture, "pictures": _file, "video": _file,
}  # fmt: skip


def paragraph(text: str, *classes: str) -> str:
    """Return a sentence as markup. Whatever it quotes is text."""
    return f'<p class="{" ".join(classes)}">{html.escape(text)}</p>'
