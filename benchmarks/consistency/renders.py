"""What untouched renders of the small world measure: the shipped model's own kind of clip has to pass."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite

from studio.consistency.check import Check
from studio.consistency.runner import run_checks

SOURCE = "micro_world"
_NUM_SCENES = 70
_MARGIN = 1.02


def least_thresholds(checks: Sequence[type[Check]]) -> dict[str, float]:
    """Return by check the threshold at which 70 renders still pass, before encoding, as the gate sees them.

    Scenes of all motions but "staying still", which is a frozen picture indeed.
    """
    from weights.training import world

    moving = [scene for scene in world.all_scenes() if scene.motion != "staying still"]
    most: dict[str, float] = {}
    for number in range(_NUM_SCENES):
        scene = moving[number * len(moving) // _NUM_SCENES]
        for result in run_checks(world.render(scene, number), Fraction(world.FRAME_RATE), checks).checks:
            if result.value is not None and isfinite(result.value):
                most[result.id] = max(most.get(result.id, 0.0), _MARGIN * result.value)
    return most
