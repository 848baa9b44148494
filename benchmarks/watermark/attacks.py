"""What happens to clips on their way through the internet, each done by the real ffmpeg as a real program would."""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

ALWAYS, OFTEN, MOSTLY = 1.0, 0.9, 0.8
_SIDE = math.sqrt(0.15)  # of each side of the frame, for an overlay of 15 % of its area
_FONT_LINES = 24  # lines of a drawn letter at scale 1

_QUIET = ("-hide_banner", "-nostats", "-loglevel", "error", "-y")
# Said to the decoder and done by the encoder, as in the studio's own files: BT.709, limited range.
_YUV = (
    "scale=w=2*trunc(iw/2):h=2*trunc(ih/2):in_range=pc:out_range=tv:out_color_matrix=bt709:"
    "flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A way to write frames. suffix: of the file. arguments: ffmpeg's. graph: joined to the end of the filters."""

    suffix: str
    arguments: tuple[str, ...]
    graph: str = _YUV


def h264(crf: int) -> Encoding:
    """Return x264 at a constant quality. crf: 1 (best) to 51."""
    return Encoding(suffix=".mp4", arguments=("-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf)))


CRF_23 = h264(23)
GATE = Encoding(suffix=".mp4", arguments=("-c:v", "libx264", "-profile:v", "high", "-preset", "medium", "-crf", "16"))
VP9_33 = Encoding(
    suffix=".webm",
    arguments=("-c:v", "libvpx-vp9", "-crf", "33", "-b:v", "0", "-deadline", "good", "-cpu-used", "5"),
)
HEVC_28 = Encoding(
    suffix=".mp4",
    arguments=("-c:v", "libx265", "-crf", "28", "-preset", "veryfast", "-x265-params", "log-level=none:pools=1"),
)
AV1_40 = Encoding(
    suffix=".mp4", arguments=("-c:v", "libsvtav1", "-crf", "40", "-preset", "8", "-svtav1-params", "lp=1")
)
GIF = Encoding(
    suffix=".gif",
    arguments=(),
    graph="split[gif_a][gif_b];[gif_a]palettegen[palette];[gif_b][palette]paletteuse",
)
PNG = Encoding(suffix=".png", arguments=("-frames:v", "1"), graph="format=rgb24")
JPEG_75 = Encoding(suffix=".jpg", arguments=("-frames:v", "1"), graph="format=rgb24")


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One thing that happens to a clip.

    filters: ffmpeg's, with {width}, {height}, {rate}, {middle} (number of the middle frame), {part_width} and
    {part_height} (15 % of the area) filled in. draw: done to the frames before. remux: into this container afterwards.
    target: share of the cases that must be read exactly; None where nothing is promised.
    """

    name: str
    filters: str = "null"
    encoding: Encoding = CRF_23
    target: float | None = None
    draw: Callable[[Frames], Frames] | None = None
    remux: str | None = None

    def __call__(self, frames: Frames, frame_rate: Fraction) -> Frames:
        """Return what a viewer gets. frames: (T, H, W, 3) uint8 RGB -> (T', H', W', 3) uint8 RGB.

        Raises `subprocess.CalledProcessError` if this ffmpeg cannot do it.
        """
        drawn = self.draw(frames) if self.draw else frames
        with tempfile.TemporaryDirectory(prefix="watermark-attack-") as folder:
            target = Path(folder) / f"attacked{self._written_suffix}"
            command = self.command(drawn.shape[:3], frame_rate, str(target))
            subprocess.run(command, input=np.ascontiguousarray(drawn).data, capture_output=True, check=True)
            return read_frames(self._finished(target))

    def command(self, shape: tuple[int, ...], frame_rate: Fraction, target: str) -> list[str]:
        """Return the exact ffmpeg command for raw frames on its standard input. shape: (T, H, W)."""
        num_frames, height, width = shape
        rate = f"{frame_rate.numerator}/{frame_rate.denominator}"
        filters = self.filters.format(
            width=width,
            height=height,
            rate=rate,
            middle=num_frames // 2,
            part_width=2 * round(width * _SIDE / 2),
            part_height=2 * round(height * _SIDE / 2),
        )
        return [
            *(_ffmpeg(), *_QUIET, "-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"),
            *("-color_range", "pc", "-framerate", rate, "-i", "pipe:0"),
            *("-filter_complex", f"[0:v]{filters},{self.encoding.graph}[out]", "-map", "[out]"),
            *("-fps_mode", "passthrough", "-threads", "1", *self.encoding.arguments, target),
        ]

    @property
    def _written_suffix(self) -> str:
        return ".png" if self.encoding.suffix == ".jpg" else self.encoding.suffix

    def _finished(self, written: Path) -> Path:
        """Do what ffmpeg does not do in the same command: a JPEG at Pillow's quality 75, another container."""
        if self.encoding.suffix == ".jpg":
            import PIL.Image

            path = written.with_suffix(".jpg")
            PIL.Image.open(written).save(path, "JPEG", quality=75)
            return path
        if self.remux:
            path = written.with_name(f"remuxed{self.remux}")
            subprocess.run([_ffmpeg(), *_QUIET, "-i", str(written), "-c", "copy", str(path)], check=True)
            return path
        return written


def read_frames(path: Path) -> Frames:
    """Return all frames of a video or picture as the studio's own reader gives them: (T, H, W, 3) uint8 RGB."""
    from studio.media.images import read_image
    from studio.media.videos import iter_frames

    if path.suffix in {".png", ".jpg"}:
        return read_image(path)[None]
    return np.stack([frame.image for frame in iter_frames(path)])


def captioned(frames: Frames) -> Frames:
    """Return copies with a dark bar over the lowest sixth and two lines of white text on it."""
    import cv2

    height, width = frames.shape[1:3]
    bar = height // 6
    result = frames.copy()
    result[:, -bar:] //= 4
    scale = bar / (3 * _FONT_LINES)
    for frame in result:
        for line, text in enumerate(("When the rain had stopped,", "nobody wanted to go home.")):
            place = (width // 16, height - bar + round((line + 1) * bar * 0.42))
            cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), max(round(scale * 2), 1))
    return result


def _ffmpeg() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _crop(keep: float, x: float = 0.5, y: float = 0.5) -> str:
    """Keep this share of each side. x, y: where the part that stays lies, 0 (left, top) to 1."""
    return f"crop=w=2*trunc(iw*{keep}/2):h=2*trunc(ih*{keep}/2):x=(iw-ow)*{x}:y=(ih-oh)*{y}:exact=1"


def _scale(factor: float) -> str:
    return f"scale=w=2*round(iw*{factor}/2):h=2*round(ih*{factor}/2):flags=bicubic"


def _gain(factor: float) -> str:
    return "lutrgb=" + ":".join(f"{channel}='clip(val*{factor},0,255)'" for channel in "rgb")


def _rotate(degrees: float, *, is_cut: bool) -> str:
    """Turn; the corners stay black, or the largest part of the same shape without them is cut out."""
    angle = f"{math.radians(degrees):.6f}"
    if not is_cut:
        return f"rotate=a={angle}:c=black"
    side = f"/(cos({angle})+max(iw/ih,ih/iw)*sin({angle}))/2"
    return f"rotate=a={angle}:c=black,crop=w='2*trunc(iw{side})':h='2*trunc(ih{side})'"


_LETTERBOX_SQUARE = "pad=w='max(iw,ih)':h='max(iw,ih)':x=(ow-iw)/2:y=(oh-ih)/2"
_LETTERBOX_4_3 = "pad=w='max(iw,2*ceil(ih*2/3))':h='max(ih,2*ceil(iw*3/8))':x=(ow-iw)/2:y=(oh-ih)/2"
_SQUEEZE_4_3 = "scale=w='if(gt(iw,ih),2*round(ih*2/3),iw)':h='if(gt(iw,ih),ih,2*round(iw*2/3))':flags=bicubic"
_PICTURE_IN_PICTURE = (
    "null[main];testsrc2=size={part_width}x{part_height}:rate={rate}[part];"
    "[main][part]overlay=x=W-w-W/40:y=H-h-H/40:shortest=1"
)
_LOGO = (
    "drawbox=x=(iw-{part_width})/2:y=(ih-{part_height})/2:w={part_width}:h={part_height}:color=0x1040a0:t=fill,"
    "drawbox=x=(iw-{part_width}/2)/2:y=(ih-{part_height}/2)/2:w={part_width}/2:h={part_height}/2:color=white:t=fill"
)

ATTACKS = (
    Attack(name="none (the gate's own file)", encoding=GATE, target=ALWAYS),
    Attack(name="H.264 CRF 18", encoding=h264(18), target=ALWAYS),
    Attack(name="H.264 CRF 23", encoding=h264(23), target=ALWAYS),
    Attack(name="H.264 CRF 28", encoding=h264(28), target=ALWAYS),
    Attack(name="H.264 CRF 33", encoding=h264(33), target=OFTEN),
    Attack(name="H.264 CRF 38", encoding=h264(38), target=MOSTLY),
    Attack(name="VP9 CRF 33", encoding=VP9_33, target=ALWAYS),
    Attack(name="HEVC CRF 28", encoding=HEVC_28, target=ALWAYS),
    Attack(name="AV1 CRF 40", encoding=AV1_40),
    Attack(name="scale 0.75", filters=_scale(0.75), target=ALWAYS),
    Attack(name="scale 0.5", filters=_scale(0.5), target=ALWAYS),
    Attack(name="scale 0.33", filters=_scale(0.33)),
    Attack(name="crop 10 %", filters=_crop(0.9), target=ALWAYS),
    Attack(name="crop 10 % off centre", filters=_crop(0.9, 0.85, 0.2), target=ALWAYS),
    Attack(name="crop 10 % scaled back", filters=_crop(0.9) + ",scale={width}:{height}", target=ALWAYS),
    Attack(name="crop 25 %", filters=_crop(0.75, 0.3, 0.6), target=ALWAYS),
    Attack(name="brightness +20 %", filters=_gain(1.2), target=ALWAYS),
    Attack(name="brightness -20 %", filters=_gain(0.8), target=ALWAYS),
    Attack(name="contrast +30 %", filters="eq=contrast=1.3"),
    Attack(name="gamma 1.4", filters="eq=gamma=1.4"),
    Attack(name="tone curve", filters="curves=all='0/0 0.25/0.15 0.75/0.85 1/1'"),
    Attack(name="mirror", filters="hflip", target=ALWAYS),
    Attack(name="drop every 3rd frame", filters="select='lt(mod(n,3),2)',setpts=N/({rate})/TB", target=ALWAYS),
    Attack(name="to 15 frames/s", filters="fps=15", target=ALWAYS),
    Attack(name="to 30 frames/s, blended", filters="framerate=fps=30", target=ALWAYS),
    Attack(name="GIF 320 px, 12 frames/s", filters="fps=12,scale=320:-2:flags=lanczos", encoding=GIF, target=ALWAYS),
    Attack(name="blur, noise, CRF 28", filters="gblur=sigma=1,noise=alls=8:allf=t:all_seed=1", encoding=h264(28)),
    Attack(name="first 8 frames, CRF 28", filters="trim=end_frame=8", encoding=h264(28)),
    Attack(name="one frame, PNG", filters="select='eq(n,{middle})'", encoding=PNG),
    Attack(name="one frame, JPEG 75", filters="select='eq(n,{middle})'", encoding=JPEG_75),
    Attack(
        name="social: crop 5 %, 0.75x, 24 frames/s, CRF 30",
        filters=f"{_crop(0.95)},{_scale(0.75)},fps=24",
        encoding=h264(30),
        target=OFTEN,
    ),
    Attack(name="letterbox to 1:1", filters=_LETTERBOX_SQUARE, target=MOSTLY),
    Attack(name="letterbox to 4:3", filters=_LETTERBOX_4_3, target=MOSTLY),
    Attack(name="squeeze to 4:3", filters=_SQUEEZE_4_3, target=MOSTLY),
    Attack(name="rotate 1 degree, cut", filters=_rotate(1, is_cut=True), target=MOSTLY),
    Attack(name="rotate 1 degree, black corners", filters=_rotate(1, is_cut=False), target=MOSTLY),
    Attack(name="rotate 2 degrees, cut", filters=_rotate(2, is_cut=True), target=MOSTLY),
    Attack(name="rotate 2 degrees, black corners", filters=_rotate(2, is_cut=False), target=MOSTLY),
    Attack(name="picture in picture 15 %, CRF 28", filters=_PICTURE_IN_PICTURE, encoding=h264(28), target=MOSTLY),
    Attack(name="centred logo 15 %, CRF 28", filters=_LOGO, encoding=h264(28), target=MOSTLY),
    Attack(name="caption bar", draw=captioned),
    Attack(name="crop 10 %, CRF 30, remux", filters=_crop(0.9), encoding=h264(30), remux=".mkv"),
)

GATE_ENCODE = ATTACKS[0]
BY_NAME = {attack.name: attack for attack in ATTACKS}
MAIN = tuple(
    BY_NAME[name]
    for name in (
        "none (the gate's own file)", "H.264 CRF 28", "H.264 CRF 33", "VP9 CRF 33", "scale 0.5",
        "crop 10 % off centre", "crop 25 %", "mirror", "to 15 frames/s", "GIF 320 px, 12 frames/s",
        "one frame, JPEG 75", "social: crop 5 %, 0.75x, 24 frames/s, CRF 30", "letterbox to 4:3", "squeeze to 4:3",
        "rotate 2 degrees, cut", "picture in picture 15 %, CRF 28",
    )
)  # fmt: skip
