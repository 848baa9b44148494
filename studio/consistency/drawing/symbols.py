"""A shape for every verdict, so that none is told by colour alone."""

from __future__ import annotations

from studio.consistency.drawing.canvas import COLOURS, FAINT, PAPER, Canvas


def draw_symbol(canvas: Canvas, verdict: str, x: float, y: float, radius: float) -> None:
    """Draw a tick on a disc, a cross on an octagon, a dash on a diamond, or a ring for what was not assessed."""
    match verdict:
        case "passed":
            canvas.disc(x, y, radius, COLOURS["passed"])
            tick = [(-0.45, 0.02), (-0.12, 0.36), (0.48, -0.34)]
            canvas.line([(x + a * radius, y + b * radius) for a, b in tick], PAPER, radius / 4.5)
        case "failed":
            corner, side = 1.0, 0.414
            octagon = [(-side, -corner), (side, -corner), (corner, -side), (corner, side), (side, corner),
                       (-side, corner), (-corner, side), (-corner, -side)]  # fmt: skip
            canvas.area([(x + a * radius, y + b * radius) for a, b in octagon], COLOURS["failed"])
            arm = 0.38 * radius
            canvas.line([(x - arm, y - arm), (x + arm, y + arm)], PAPER, radius / 4.5)
            canvas.line([(x - arm, y + arm), (x + arm, y - arm)], PAPER, radius / 4.5)
        case "inconclusive":
            point = 1.15 * radius
            diamond = [(x, y - point), (x + point, y), (x, y + point), (x - point, y)]
            canvas.area(diamond, COLOURS["inconclusive"])
            canvas.line([(x - 0.4 * radius, y), (x + 0.4 * radius, y)], PAPER, radius / 4.5)
        case _:
            canvas.disc(x, y, radius - 1, None, FAINT)
