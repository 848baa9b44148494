"""The pictures and videos that a request starts from: which a task needs, whether they can be read, their size."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from studio.catalog.schema import ModelSpec
from studio.errors import UnreadableMedia, UnsupportedValue
from studio.media import probe_video, read_image
from studio.request import Conditioning, GenerationRequest, Role, Task

# The roles a task cannot do without; a role no task of this table names is refused.
ROLES_OF_TASK: dict[Task, tuple[Role, ...]] = {
    Task.TEXT_TO_VIDEO: (),
    Task.IMAGE_TO_VIDEO: (Role.FIRST_FRAME,),
    Task.FIRST_LAST_FRAME_TO_VIDEO: (Role.FIRST_FRAME, Role.LAST_FRAME),
    Task.REFERENCE_TO_VIDEO: (Role.REFERENCE,),
    Task.VIDEO_TO_VIDEO: (Role.SOURCE_VIDEO,),
}
ARGUMENT_OF_ROLE = {
    Role.FIRST_FRAME: "image",
    Role.LAST_FRAME: "last_image",
    Role.REFERENCE: "reference",
    Role.SOURCE_VIDEO: "video",
}


@dataclass(frozen=True)
class Material:
    """A conditioning whose file was read. width, height: pixels. seconds: of a video, None where nobody knows."""

    conditioning: Conditioning
    width: int
    height: int
    seconds: float | None = None

    @property
    def role(self) -> Role:
        """What it is to the clip."""
        return self.conditioning.role


_READ: ContextVar[dict[Conditioning, Material | UnreadableMedia] | None] = ContextVar("read", default=None)


def task_of_roles(roles: set[Role]) -> Task:
    """Return the task that follows from what was given."""
    if Role.SOURCE_VIDEO in roles:
        return Task.VIDEO_TO_VIDEO
    if Role.LAST_FRAME in roles:
        return Task.FIRST_LAST_FRAME_TO_VIDEO
    if Role.FIRST_FRAME in roles:
        return Task.IMAGE_TO_VIDEO
    return Task.REFERENCE_TO_VIDEO if Role.REFERENCE in roles else Task.TEXT_TO_VIDEO


def materials_of(spec: ModelSpec, request: GenerationRequest, task: Task) -> tuple[Material, ...]:
    """Return what a request starts from, each file read once.

    Raises `UnsupportedValue` where the task needs another role or takes fewer, `UnreadableMedia`.
    """
    wanted, given = set(ROLES_OF_TASK[task]), Counter(item.role for item in request.conditionings)
    for role in sorted(wanted - set(given)):
        field = ARGUMENT_OF_ROLE[role]
        fix = f"add --{field.replace('_', '-')} FILE"
        raise UnsupportedValue(f"{task.value} needs one", field=field, got="none", fix=fix)
    for role in sorted(set(given) - wanted):
        field = ARGUMENT_OF_ROLE[role]
        raise UnsupportedValue(f"{task.value} does not use it", field=field, got=role.value, fix="leave it out")
    for role, number in given.items():
        _refuse_too_many(spec, role, number)
    return tuple(_material(item) for item in request.conditionings)


def _refuse_too_many(spec: ModelSpec, role: Role, number: int) -> None:
    most = max(1, spec.remote.max_references) if role is Role.REFERENCE and spec.remote is not None else 1
    if number > most:
        field, allowed = ARGUMENT_OF_ROLE[role], "one" if most == 1 else f"up to {most}"
        raise UnsupportedValue(
            f"{spec.id} does not take so many", field=field, got=number, allowed=allowed, fix="leave some out"
        )


@contextmanager
def reading_each_file_once() -> Iterator[None]:
    """While this lasts, a file that many requests start from is read and judged once, here and in this thread alone."""
    token = _READ.set({})
    try:
        yield
    finally:
        _READ.reset(token)


def _material(item: Conditioning) -> Material:
    known = _READ.get()
    if known is None:
        return _read(item)
    if item not in known:
        try:
            known[item] = _read(item)
        except UnreadableMedia as error:
            known[item] = error
    found = known[item]
    if isinstance(found, UnreadableMedia):
        raise found.with_traceback(None)
    return found


def _read(item: Conditioning) -> Material:
    field, seconds = ARGUMENT_OF_ROLE[item.role], None
    if item.role is Role.SOURCE_VIDEO:
        facts = probe_video(item.path, field=field)
        width, height, seconds = facts.width, facts.height, facts.duration_seconds
    else:
        height, width = read_image(item.path, field=field).shape[:2]
    digest = file_sha256(item)
    if item.sha256 is not None and item.sha256 != digest:
        raise UnreadableMedia(
            "the file has changed since the request was made",
            field=item.role.value,
            got=item.path,
            fix="submit it anew",
        )
    return Material(Conditioning(role=item.role, path=item.path.absolute(), sha256=digest), width, height, seconds)


def file_sha256(item: Conditioning) -> str:
    """Return the hex digest of a conditioning's file, or raise `UnreadableMedia`."""
    try:
        with open(item.path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableMedia(
            f"the file cannot be read ({error.strerror or error})", field=item.role.value, got=item.path
        ) from error
