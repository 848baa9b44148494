"""What the learned checks share: frames are gathered in small batches, rated by a network, and forgotten."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.consistency.loading import keep_quiet
from pipelines.consistency.pictures import Preparation
from pipelines.failures import loading_failures, torch_failures
from pipelines.placement import choose_placement
from studio.consistency.check import ClipContext, shortened
from studio.consistency.frame import AnalysisFrame
from studio.consistency.learned import LearnedCheck
from studio.consistency.report import MAX_WORST_FRAMES, CheckResult
from studio.consistency.timeline import Timeline
from studio.errors import GenerationFailed, StudioError
from studio.media import Image

if TYPE_CHECKING:
    import torch

_UNCALIBRATED = "no calibrated threshold: compare with published figures"
_WHOLE_SECONDS = 16.0
_SAMPLES_PER_SECOND = 2.0
_LONGEST_SHAPE = 8
# A frame stands out when it lies this many robust standard deviations below the clip's median.
_DEVIATIONS = 3 * 1.4826
_SMALLEST_STEP = 1e-3


class FrameCheck(LearnedCheck):
    """A learned check whose figure is the mean over frames.

    Every frame is rated, as the metrics' authors do, for clips of up to 16 s; of what comes after that two frames a
    second, and the reason says so. Memory: the network, `batch_size` prepared frames, one figure per frame.
    A subclass says how its network is loaded and what it makes of a batch.
    """

    preparation: ClassVar[Preparation]
    batch_size: ClassVar[int] = 8
    min_frames: ClassVar[int] = 1

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._network: Any = None
        self._device: Any = None
        self._waiting: list[tuple[int, torch.Tensor]] = []
        self._figures: dict[int, float] = {}
        self._rated = 0
        self._num_frames = 0
        self._last_seconds = -1.0
        self._is_sampled = False
        self._why_not = self.why_not()

    # -- what a subclass fills in -------------------------------------------------------------------------------

    @abstractmethod
    def load(self, folder: Path, device: Any) -> Any:
        """Return the network on the device. folder: holds the weights, verified."""

    @abstractmethod
    def rate(self, network: Any, pixels: torch.Tensor) -> Sequence[float | None]:
        """Return a figure for each of the next frames, None where one has none. pixels: (n, 3, h, w) float32."""

    def why_not(self) -> str:
        """Return why this clip cannot be rated, known before its first frame; empty if it can."""
        return ""

    def remark(self) -> str:
        """Return what else the report should say of the figure."""
        return ""

    # -- the check ----------------------------------------------------------------------------------------------

    def look(self, frame: AnalysisFrame) -> None:
        """Take the next frame; rates a batch when one is full."""
        self._num_frames = frame.index + 1
        if not self._why_not and _is_a_strip(frame.image):
            self._why_not = f"the picture is more than {_LONGEST_SHAPE} times as long as it is wide"
        if self._why_not or not self._is_wanted(frame):
            return
        self._last_seconds = frame.time_seconds
        self._waiting.append((frame.index, self.preparation.apply(frame.image)))
        if len(self._waiting) >= self.batch_size:
            self._rate_waiting()

    def finish(self, timeline: Timeline) -> CheckResult:  # noqa: ARG002
        """Return the mean, which neither passes nor fails, or the sentence that says why there is none."""
        if not self._why_not and self._rated + len(self._waiting) < self.min_frames:
            self._why_not = f"fewer than {self.min_frames} frames"
        self._rate_waiting()
        self._network = None
        if self._why_not or not self._figures:
            return self._result(reason=self._why_not or "no frame could be rated")
        value = fmean(self._figures.values())
        series, step = shortened([self._figures.get(index) for index in range(self._num_frames)], min)
        return self._result(value=value, score=min(1.0, max(0.0, value)), reason=self._reason(), series=series,
                            series_unit=self.unit, series_step=step, worst_frames=_worst(self._figures))  # fmt: skip

    def _is_wanted(self, frame: AnalysisFrame) -> bool:
        if frame.time_seconds < _WHOLE_SECONDS:
            return True
        self._is_sampled = True
        return frame.time_seconds - self._last_seconds >= 1 / _SAMPLES_PER_SECOND - 1e-6

    def _rate_waiting(self) -> None:
        """Rate the batch. What goes wrong becomes the reason for saying nothing: the clip is not to blame."""
        batch, self._waiting = self._waiting, []
        if self._why_not or not batch:
            return
        try:
            self._figures |= self._rate_batch(batch)
            self._rated += len(batch)
        except StudioError as error:
            self._why_not = error.sentence().rstrip(".")
            self._network = None
            self._figures = {}

    def _rate_batch(self, batch: Sequence[tuple[int, torch.Tensor]]) -> dict[int, float]:
        import math

        import torch

        with torch.inference_mode():
            network = self._network = self._network or self._loaded()
            with torch_failures(f"measuring {self.id}"):
                pixels = torch.stack([picture for _, picture in batch]).to(self._device)
                figures = self.rate(network, pixels)
        found = {index: figure for (index, _), figure in zip(batch, figures, strict=True) if figure is not None}
        if not all(math.isfinite(figure) for figure in found.values()):
            name = self.weights.spec.id
            raise GenerationFailed(f"{name} gives figures that are not finite", fix="try STUDIO_DEVICE=cpu")
        return found

    def _loaded(self) -> Any:
        import torch

        settings = self.weights.settings
        folder = self.weights.folder()
        self._device = choose_placement(settings.device, "float32").device
        if settings.threads:
            torch.set_num_threads(settings.threads)
        with loading_failures(self.weights.spec.id):
            keep_quiet()
            return self.load(folder, self._device)

    def _reason(self) -> str:
        sampled = (
            f"after the first {_WHOLE_SECONDS:.0f} s only {_SAMPLES_PER_SECOND:.0f} frames a second were rated"
            if self._is_sampled
            else ""
        )
        return "; ".join(part for part in (_UNCALIBRATED, sampled, self.remark()) if part)

    def _result(self, **fields: Any) -> CheckResult:
        silent: dict[str, Any] = {"score": None, "value": None}
        return CheckResult(id=self.id, title=self.title, unit=self.unit, threshold=None, passed=None,
                           **(silent | fields))  # fmt: skip


def _is_a_strip(image: Image) -> bool:
    """Say whether a picture enlarged to the networks' shorter side would take more memory than it is worth."""
    height, width = image.shape[:2]
    return bool(max(height, width) > _LONGEST_SHAPE * min(height, width))


def _worst(figures: dict[int, float]) -> tuple[int, ...]:
    """Return the frames far below the clip's own median, lowest first."""
    middle = median(figures.values())
    spread = median(abs(figure - middle) for figure in figures.values())
    bound = middle - max(_DEVIATIONS * spread, _SMALLEST_STEP)
    found = sorted((figure, index) for index, figure in figures.items() if figure < bound)
    return tuple(index for _, index in found[:MAX_WORST_FRAMES])
