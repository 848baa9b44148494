"""Faults of time: frames that stand, repeat, are missing, come in the wrong order or from another shot."""

from __future__ import annotations

import numpy as np

from benchmarks.consistency.material import Frames, Injected, Material
from benchmarks.consistency.pasting import blend

# Frames that must follow where the clip jumps, so that there is a jump.
_LEAST_AFTER = 5


def freeze(material: Material, amount: float) -> Injected:
    """One frame stands for `amount` frames more; then the clip goes on as if it had not."""
    length = material.length(int(amount))
    first = material.start(length)
    order = np.arange(material.count)
    order[first : first + length] = first - 1
    frozen = range(first, first + length)
    return Injected(frames=material.ordered(order), event_frames=tuple(frozen), changed_frames=frozen)


def duplicates(material: Material, amount: float) -> Injected:
    """`amount` frames, apart from each other, are shown twice; what follows comes later."""
    number = min(int(amount), (material.count - 4) // 3)
    places = np.sort(material.rng.choice(np.arange(2, material.count - 2, 2), number, replace=False))
    order = np.sort(np.concatenate([np.arange(material.count), places]))[: material.count]
    repeats = tuple(int(index) for index in np.flatnonzero(np.diff(order) == 0) + 1)
    return Injected(
        frames=material.ordered(order), event_frames=repeats, changed_frames=range(repeats[0], material.count)
    )


def stutter(material: Material, amount: float) -> Injected:
    """Every `amount`-th frame is the one before again, or for 3 both of the next: 5 and 2 are cadences, 3 is 3:1."""
    order = np.arange(material.count)
    step = int(amount)
    if step == 3:
        order -= order % 3
    else:
        order[step - 1 :: step] -= 1
    changed = tuple(int(index) for index in np.flatnonzero(order != np.arange(material.count)))
    return Injected(
        frames=material.ordered(order), event_frames=changed, changed_frames=range(changed[0], material.count)
    )


def shuffle(material: Material, amount: float) -> Injected:
    """`amount` pairs of neighbours are swapped; for 8, a block of eight frames is shuffled."""
    order = np.arange(material.count)
    if amount >= 8:
        length = material.length(8)
        first = material.start(length)
        block = slice(first, first + length)
        while (np.abs(np.diff(order[block])) == 1).sum() > 1:
            order[block] = material.rng.permutation(np.arange(first, first + length))
    else:
        for part in np.array_split(np.arange(3, material.count - 4), int(amount)):
            at = int(material.rng.choice(part[:-1] if len(part) > 1 else part))
            order[[at, at + 1]] = order[[at + 1, at]]
    moved = np.flatnonzero(order != np.arange(material.count))
    return Injected(
        frames=material.ordered(order),
        event_frames=tuple(int(index) for index in moved),
        changed_frames=range(int(moved[0]), int(moved[-1]) + 1),
    )


def reversed_block(material: Material, amount: float) -> Injected:
    """A block of `amount` frames runs backwards."""
    length = material.length(int(amount))
    first = material.start(length)
    order = np.arange(material.count)
    order[first : first + length] = order[first : first + length][::-1]
    block = range(first, first + length)
    return Injected(frames=material.ordered(order), event_frames=(*block, first + length), changed_frames=block)


def jump_cut(material: Material, amount: float) -> Injected:
    """`amount` frames are missing; what follows in the shot fills the clip up, as far as there is some."""
    dropped = int(amount) if len(material.following) else material.length(int(amount))
    total = material.count + len(material.following)
    at = min(material.start(), total - dropped - _LEAST_AFTER)
    order = [*range(at), *range(at + dropped, total)][: material.count]
    return Injected(frames=material.ordered(order), event_frames=(at,), changed_frames=range(at, len(order)))


def speed_jump(material: Material, amount: float) -> Injected:
    """From the middle on the clip runs `amount` times as fast."""
    at = material.start()
    total = material.count + len(material.following)
    order = [*range(at), *range(at, total, int(amount))][: material.count]
    return Injected(frames=material.ordered(order), event_frames=(at, at + 1), changed_frames=range(at, len(order)))


def hard_cut(material: Material, amount: float) -> Injected:
    """Another shot begins. amount: 1 with colours matched, 2 as it is, 3 for six frames only."""
    frames = material.frames.copy()
    length = material.length(6) if amount == 3 else material.count
    at = material.start(length if amount == 3 else 1)
    end = min(at + length, material.count)
    donor = _as_long(material.donor, end - at)
    frames[at:end] = _colour_matched(donor, material.frames) if amount == 1 else donor
    moments = (at, end) if amount == 3 else (at,)
    return Injected(frames=frames, event_frames=moments, changed_frames=range(at, end))


def dissolve(material: Material, amount: float) -> Injected:
    """Another shot fades in over `amount` frames."""
    length = material.length(int(amount))
    at = material.start(length)
    donor = _as_long(material.donor, material.count - at)
    frames = material.frames.copy()
    for index in range(at, material.count):
        share = min(1.0, (index - at + 1) / (length + 1))
        frames[index] = blend(material.frames[index], donor[index - at].astype(np.float32), share)
    return Injected(frames=frames, event_frames=tuple(range(at, at + length)), changed_frames=range(at, material.count))


def _as_long(frames: Frames, length: int) -> Frames:
    """Repeat the frames forwards and backwards until there are enough."""
    loop = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    return frames[[loop[index % len(loop)] for index in range(length)]]


def _colour_matched(frames: Frames, like: Frames) -> Frames:
    """Give frames the mean and spread of each channel that other frames have."""
    axes = (0, 1, 2)
    spread = like.std(axis=axes) / np.maximum(frames.std(axis=axes), 1.0)
    matched = (frames - frames.mean(axis=axes)) * spread + like.mean(axis=axes)
    return np.clip(np.rint(matched), 0, 255).astype(np.uint8)
