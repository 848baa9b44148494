"""The worst moments as rows of small frames: before, during and after, with a box where to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studio.consistency.drawing.canvas import COLOURS, FAINT, INK, MUTED, PANEL, Canvas, wrapped
from studio.consistency.drawing.moments import Moment
from studio.media import Image

_COLUMNS, _GAP, _SMALL_GAP = 2, 40, 8
_CAPTION, _WORDS, _BELOW = 26, 44, 18
_MOST_HEIGHT = 260


@dataclass(frozen=True, kw_only=True)
class MomentPart:
    """Draws moments in two columns of a given width, pixels. pictures: small frames by index, all of one size."""

    moments: Sequence[Moment]
    pictures: Mapping[int, Image]
    frame_rate: float
    width: float

    @property
    def height(self) -> float:
        """Pixels that all of them take."""
        return -(-len(self.moments) // _COLUMNS) * self._row

    @property
    def _column(self) -> float:
        return (self.width - (_COLUMNS - 1) * _GAP) / _COLUMNS

    @property
    def _size(self) -> tuple[int, int]:
        """Width and height of a frame in the picture."""
        rows, columns = next(iter(self.pictures.values())).shape[:2]
        scale = min((self._column - 2 * _SMALL_GAP) / 3 / columns, _MOST_HEIGHT / rows)
        return max(1, int(columns * scale)), max(1, int(rows * scale))

    @property
    def _row(self) -> float:
        return _WORDS + self._size[1] + _CAPTION + _BELOW

    def draw(self, canvas: Canvas, left: float, top: float) -> None:
        """Draw them all."""
        for number, moment in enumerate(self.moments):
            line, column = divmod(number, _COLUMNS)
            self._draw(canvas, moment, left + column * (self._column + _GAP), top + line * self._row)

    def _draw(self, canvas: Canvas, moment: Moment, left: float, top: float) -> None:
        canvas.text(left, top + 12, " + ".join(moment.titles), 18, INK, is_bold=True, room=self._column)
        for line in wrapped(moment.reason, 15, self._column, 1):
            canvas.text(left, top + 33, line, 15, MUTED)
        width, height = self._size
        for place, index in enumerate(moment.frames):
            x, y = left + place * (width + _SMALL_GAP), top + _WORDS
            if index is None or index not in self.pictures:
                canvas.box(x, y, width, height, PANEL, radius=2)
                canvas.text(x + width / 2, y + height / 2, "no frame", 15, FAINT, anchor="mm")
                continue
            canvas.picture(x, y, width, height, self.pictures[index])
            is_worst = place == 1
            if is_worst:
                canvas.box(x - 3, y - 3, width + 6, height + 6, outline=COLOURS["failed"], line_width=3, radius=3)
            if moment.box is not None:
                _frame(canvas, moment.box, x, y, width, height)
            words = f"frame {index}  ·  {index / self.frame_rate:.2f} s"
            canvas.text(x + 1, y + height + 20, words, 14, COLOURS["failed"] if is_worst else MUTED, room=width)


def _frame(
    canvas: Canvas, box: tuple[float, float, float, float], x: float, y: float, width: float, height: float
) -> None:
    """Draw a box that is seen on light and on dark: a light line around a coloured one."""
    left, top = max(box[0], 0.0) * width, max(box[1], 0.0) * height
    right, bottom = min(box[0] + box[2], 1.0) * width, min(box[1] + box[3], 1.0) * height
    for grown, colour, line_width in ((2.0, (255, 255, 255), 5.0), (1.0, (255, 176, 0), 3.0)):
        canvas.box(x + left - grown, y + top - grown, right - left + 2 * grown, bottom - top + 2 * grown,
                   outline=colour, line_width=line_width)  # fmt: skip
