"""From what is written to the jobs that are meant: defaults, sweeps, repetitions and templates."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from studio.batch.entry import BatchEntry
from studio.batch.faults import FaultList
from studio.batch.fields import MAX_NAME_CHARACTERS, OPTION, VARIABLE
from studio.batch.flattening import PLACEHOLDERS, Axes, Axis, flatten, flatten_variables, templates_in
from studio.batch.source import MAX_ENTRIES, Source, Written
from studio.batch.sweep import combinations, count
from studio.batch.templates import Template, as_text, template_of, unknown_placeholder
from studio.batch.wording import shown
from studio.errors import StudioError, UnsupportedValue
from studio.request import Conditioning, GenerationRequest, Role

# All prompts of a batch together: beyond that it is a mistake, and would only fill the memory.
MAX_TEXT_CHARACTERS = 2**28
# Every template in the order in which they are filled in, and the other texts that it may name.
_TEXTS_BEFORE: dict[str, tuple[str, ...]] = {
    "prompt": (),
    "negative_prompt": (),
    "name": ("prompt", "negative_prompt"),
    "output": ("prompt", "negative_prompt", "name"),
}
_ROLES = {"image": Role.FIRST_FRAME, "last_frame": Role.LAST_FRAME, "source_video": Role.SOURCE_VIDEO}
_REQUEST_FIELDS = ("model", "task", "prompt", "negative_prompt", "seed", "width", "height", "resolution",
                   "aspect_ratio", "num_frames", "duration_seconds", "frame_rate", "num_inference_steps",
                   "guidance_scale", "generate_audio", "on_unsupported")  # fmt: skip


def expand(source: Source, folder: Path, faults: FaultList) -> tuple[BatchEntry, ...]:
    """Return the entries of a file; those of jobs in which anything is wrong are missing, and the faults are noted.

    folder: absolute, the one in which relative paths begin.
    """
    return _Expansion(source, folder, faults).entries()


class _Expansion:
    """The work on one file. used: variables that a template names."""

    def __init__(self, source: Source, folder: Path, faults: FaultList) -> None:
        self._source, self._folder, self._faults = source, folder, faults
        self._templates: dict[str, Template] = {}
        self._occurrences: Counter[bytes] = Counter()
        self._used: set[str] = set()
        self._number = self._planned = self._characters = 0

    def entries(self) -> tuple[BatchEntry, ...]:
        shared = flatten_variables(self._source.variables, self._faults) if self._source.variables else Axes()
        defaults = flatten(self._source.defaults, self._faults) if self._source.defaults else Axes()
        found: list[BatchEntry] = []
        for job in self._source.jobs:
            own = flatten(job, self._faults)
            if own is None or shared is None or defaults is None:
                continue
            try:
                found += self._entries_of(job, {**shared, **_without(defaults, own), **own})
            except _TooMany as error:
                self._faults.add(job.where, error)
                return ()
        if not len(self._faults):
            self._refuse_unused(shared or Axes())
        return tuple(found)

    def _entries_of(self, job: Written, axes: Axes) -> Iterator[BatchEntry]:
        before = len(self._faults)
        takes = int(axes.pop("repeat", Axis((1,), "")).values[0])
        axes = self._with_used_variables(axes)
        if "model" not in axes or axes["model"].values == (None,):
            error = UnsupportedValue("none was named", fix="`studio models` lists them")
            self._faults.add(job.where, error, "model")
        values = {key: axis.values for key, axis in axes.items()}
        self._planned += count(values) * takes
        if self._planned > MAX_ENTRIES:
            raise _TooMany("the batch has more jobs than this", got=f"{self._planned:,}",
                           allowed=f"up to {MAX_ENTRIES:,}", fix="sweep over less, or split the file")  # fmt: skip
        if len(self._faults) > before:
            return
        for chosen in combinations(values):
            if not self._repeats_another(chosen, axes):
                for take in range(1, takes + 1):
                    yield from self._entry(job, chosen, axes, take)

    def _with_used_variables(self, axes: Axes) -> Axes:
        """Return the axes without variables that no template names: a sweep over them would only repeat jobs."""
        variables = {key.removeprefix(VARIABLE) for key in axes if key.startswith(VARIABLE)}
        used: set[str] = set()
        for key, where, text in templates_in(axes):
            known = [*sorted(variables), *PLACEHOLDERS, *_TEXTS_BEFORE[key]]
            try:
                names = self._template(text).names
                for name in sorted(names - set(known)):
                    raise unknown_placeholder(name, known)
            except UnsupportedValue as error:
                self._faults.add(where, error, key)
                continue
            used |= names & variables
        self._used |= used
        return {key: axis for key, axis in axes.items()
                if not key.startswith(VARIABLE) or key.removeprefix(VARIABLE) in used}  # fmt: skip

    def _repeats_another(self, chosen: Mapping[str, Any], axes: Axes) -> bool:
        """Say whether a combination differs from another only in a variable that none of its own templates names."""
        many = [key for key in chosen if key.startswith(VARIABLE) and len(axes[key].values) > 1]
        if not many:
            return False
        texts = (chosen.get(key) for key in _TEXTS_BEFORE)
        named = {name for text in texts if text is not None for name in self._template(text).names}
        return any(
            key.removeprefix(VARIABLE) not in named and chosen[key] is not axes[key].values[0] for key in many
        )  # fmt: skip

    def _entry(self, job: Written, chosen: Mapping[str, Any], axes: Axes, take: int) -> Iterator[BatchEntry]:
        self._number += 1
        try:
            texts = self._expanded(chosen, axes, take)
            yield self._finished(job, {**chosen, **texts}, self._key(chosen))
        except _At as found:
            self._faults.add(found.where, found.error, found.field)

    def _finished(self, job: Written, values: Mapping[str, Any], key: str) -> BatchEntry:
        given = {name: values[name] for name in _REQUEST_FIELDS if values.get(name) is not None}
        options = {name.removeprefix(OPTION): value for name, value in values.items()
                   if name.startswith(OPTION) and value is not None}  # fmt: skip
        output = values.get("output")
        return BatchEntry(
            number=self._number,
            where=job.where,
            request=GenerationRequest(**given, options=options, conditionings=tuple(self._conditionings(values))),
            key=key,
            name=values.get("name"),
            priority=values.get("priority") or 0,
            on_fail=values.get("on_fail"),
            label=values.get("label"),
            output=None if output is None else self._folder / _without_tilde(output),
        )

    def _conditionings(self, values: Mapping[str, Any]) -> Iterator[Conditioning]:
        for name, role in _ROLES.items():
            if values.get(name) is not None:
                yield Conditioning(role=role, path=self._folder / _without_tilde(values[name]))
        for text in values.get("references") or ():
            yield Conditioning(role=Role.REFERENCE, path=self._folder / _without_tilde(text))

    def _expanded(self, chosen: Mapping[str, Any], axes: Axes, take: int) -> dict[str, str]:
        """Return the texts of a job with their placeholders filled in. Raises `_At`."""
        found: dict[str, str] = {}
        for key in _TEXTS_BEFORE:
            text = chosen.get(key)
            if text is None:
                continue
            try:
                template = self._template(text)
                values = {name: self._value(name, chosen, found, take) for name in template.names}
                if key == "output":
                    _refuse_separators(values)
                found[key] = _checked(key, template.expand(values))
                self._characters += len(found[key])
                if self._characters > MAX_TEXT_CHARACTERS:
                    raise UnsupportedValue("the texts of all jobs together become too long",
                                           allowed=f"up to {MAX_TEXT_CHARACTERS:,} characters")  # fmt: skip
            except UnsupportedValue as error:
                raise _At(axes[key].where, error, key) from error
        return found

    def _value(self, name: str, chosen: Mapping[str, Any], texts: Mapping[str, str], take: int) -> str:
        counted = {"index": self._number, "take": take}
        value = counted.get(name, texts.get(name, chosen.get(name, chosen.get(f"{VARIABLE}{name}"))))
        if value is None:
            raise UnsupportedValue("this job gives no value for it", got=f"{{{name}}}", fix=f"give {name}")
        return as_text(value)

    def _template(self, text: str) -> Template:
        if text not in self._templates:
            self._templates[text] = template_of(text)
        return self._templates[text]

    def _key(self, chosen: Mapping[str, Any]) -> str:
        """Return the key of one more entry of which this is written."""
        written = {key: value for key, value in chosen.items() if value is not None}
        digest = hashlib.sha256(json.dumps(written, sort_keys=True, default=str).encode()).digest()
        self._occurrences[digest] += 1
        return hashlib.sha256(digest + str(self._occurrences[digest]).encode()).hexdigest()

    def _refuse_unused(self, shared: Axes) -> None:
        for key, axis in shared.items():
            name = key.removeprefix(VARIABLE)
            if name not in self._used:
                error = UnsupportedValue("no template names this variable", field=name,
                                         fix=f"write {{{name}}} where it belongs, or leave it out")  # fmt: skip
                self._faults.add(axis.where, error)


class _TooMany(UnsupportedValue):
    """The batch would have more entries than it may."""


class _At(Exception):
    """An error and where it belongs."""

    def __init__(self, where: str, error: StudioError, field: str) -> None:
        super().__init__(where)
        self.where, self.error, self.field = where, error, field


def _without(defaults: Axes, own: Axes) -> Axes:
    return {key: axis for key, axis in defaults.items() if key not in own}


def _refuse_separators(values: Mapping[str, str]) -> None:
    for name, text in values.items():
        if "/" in text or "\\" in text or not text.isprintable():
            raise UnsupportedValue("this does not go into the name of a file", got=f"{{{name}}} = {shown(text)}",
                                   allowed="text without / and \\")  # fmt: skip


def _checked(key: str, text: str) -> str:
    if key == "name" and (len(text) > MAX_NAME_CHARACTERS or not text.isprintable()):
        raise UnsupportedValue(
            "this is no name", got=shown(text), allowed=f"one line, {MAX_NAME_CHARACTERS} characters"
        )
    return text


def _without_tilde(text: str) -> Path:
    """Return a path, with ``~`` as this user's home where there is one."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # the home of an unknown user: then it is the name of a file
        return Path(text)
