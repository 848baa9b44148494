"""Shows every frame once to all checks and gathers their verdicts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from pathlib import Path

from studio.consistency.check import Check, ClipContext, SoundBlock
from studio.consistency.decoding import decode_result
from studio.consistency.panel import CheckPanel
from studio.consistency.report import Report, verdict
from studio.media import Image, Sound, SoundWalk, VideoWalk, fit_image, read_image

CHECKS = (
    "studio.consistency.checks.frozen:FrozenFrames",
    "studio.consistency.checks.duplicates:DuplicateFrames",
    "studio.consistency.checks.cadence:RepeatedCadence",
    "studio.consistency.checks.hard_cut:HardCut",
    "studio.consistency.checks.dissolve:Dissolve",
    "studio.consistency.checks.jump_cut:JumpCut",
    "studio.consistency.checks.frame_order:FrameOrder",
    "studio.consistency.checks.fades:Fades",
    "studio.consistency.checks.black:BlackFrames",
    "studio.consistency.checks.blank_generation:BlankGeneration",
    "studio.consistency.checks.first_frame:FirstFrame",
    "studio.consistency.checks.sharpness:Sharpness",
    "studio.consistency.checks.flashing:Flashing",
    "studio.consistency.checks.blocking:Blocking",
    "studio.consistency.checks.banding:Banding",
    "studio.consistency.checks.seams:Seams",
    "studio.consistency.checks.dead_latents:DeadLatents",
    "studio.consistency.checks.global_flicker:GlobalFlicker",
    "studio.consistency.checks.local_flicker:LocalFlicker",
    "studio.consistency.checks.boil:BoilingTexture",
    "studio.consistency.checks.wobble:Wobble",
    "studio.consistency.checks.object_pop:ObjectPop",
    "studio.consistency.checks.slow_appear:SlowAppearance",
    "studio.consistency.checks.appearance_drift:AppearanceDrift",
    "studio.consistency.checks.drifts:ColourDrift",
    "studio.consistency.checks.drifts:ExposureDrift",
    "studio.consistency.checks.motion_amount:MotionAmount",
    "studio.consistency.checks.audio_silence:AudioSilence",
    "studio.consistency.checks.audio_clipping:AudioClipping",
    "studio.consistency.checks.audio_length:AudioLength",
)
ENTRY_POINT_GROUP = "studio.checks"

logger = logging.getLogger(__name__)


def run_checks(
    frames: Iterable[Image], clip: ClipContext | Fraction, checks: Sequence[type[Check]] | None = None
) -> Report:
    """Check (H, W, 3) uint8 RGB frames of one size, one at a time. clip: or just its frame rate.

    checks: all that are installed, unless given.
    """
    panel = open_panel(clip, checks)
    for image in frames:
        panel.update(image)
    return panel.finish()


def open_panel(clip: ClipContext | Fraction, checks: Sequence[type[Check]] | None = None) -> CheckPanel:
    """Return a panel of all checks that are installed, unless others are given."""
    context = ClipContext(frame_rate=clip) if isinstance(clip, Fraction) else clip
    return CheckPanel(context, available_checks() if checks is None else checks)


@dataclass(frozen=True, kw_only=True)
class FileProgress:
    """How far a file is checked. done, total: frames; total is what the file promises, None where it says nothing."""

    done: int
    total: int | None


def check_file(
    path: Path | str,
    checks: Sequence[type[Check]] | None = None,
    *,
    input_image: Path | str | None = None,
    prompt: str | None = None,
    watch: Callable[[FileProgress], None] = lambda _progress: None,
    field: str = "video",
) -> Report:
    """Check any video file of any length, picture and sound, decoding each once; memory does not grow with it.

    Damage does not end it: what can be decoded is checked, and the check `decode` tells of the rest.
    input_image: the picture an image-to-video clip was made from. prompt: what was asked for. watch: is told of every
    frame. Raises `UnreadableMedia`, which blames `field`, where not one frame can be decoded.
    """
    walk = VideoWalk(path, field=field)
    given = None if input_image is None else read_image(input_image, field="input_image")
    frames = walk.frames()
    first = next(frames)
    height, width = first.image.shape[:2]
    start = None if given is None else fit_image(given, width, height)
    panel = open_panel(ClipContext(frame_rate=walk.header.frame_rate, input_image=start, prompt=prompt), checks)
    total = walk.header.expected_frames
    for done, timed in enumerate(chain((first,), frames), 1):
        panel.update(timed.image, timed.time_seconds)
        watch(FileProgress(done=done, total=total))
    num_lost_sound = _listen(panel, path, field) if walk.header.has_audio else 0
    report = panel.finish()
    results = (decode_result(walk.header, walk.walked(), num_lost_sound), *report.checks)
    return replace(report, checks=results, passed=verdict(results))


def _listen(panel: CheckPanel, path: Path | str, field: str) -> int:
    """Let the panel hear a file's sound; return how many packets could not be decoded."""
    walk = SoundWalk(path, field=field)
    for block in walk.blocks():
        panel.hear(SoundBlock(samples=block.samples, sample_rate=block.sample_rate, start_seconds=block.start_seconds))
    return walk.num_lost


def sound_blocks(sound: Sound) -> Iterator[SoundBlock]:
    """Yield sound that begins with the first frame, as checks are to hear it."""
    count = 0
    for samples in sound.blocks():
        seconds = count / sound.sample_rate
        yield SoundBlock(samples=samples, sample_rate=sound.sample_rate, start_seconds=seconds)
        count += len(samples)


def available_checks() -> tuple[type[Check], ...]:
    """Return the built-in checks, then those of installed plug-ins (entry points `studio.checks`)."""
    return tuple(_load(name) for name in CHECKS) + tuple(_plug_ins())


def _load(name: str) -> type[Check]:
    module, _, attribute = name.partition(":")
    check: type[Check] = getattr(import_module(module), attribute)
    return check


@cache
def _installed() -> tuple[EntryPoint, ...]:
    # Every installed package's metadata is read for this, which takes longer than checking some clips.
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def _plug_ins() -> Iterator[type[Check]]:
    for entry in _installed():
        try:
            yield entry.load()
        except Exception:  # a stranger's package must not keep anybody from checking a clip
            logger.warning("the check %r of a plug-in cannot be loaded", entry.value, exc_info=True)
