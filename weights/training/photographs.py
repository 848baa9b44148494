"""Licence-clean photographs from installed packages, and endless augmented pictures made of them.

Few photographs are free of licence doubts, so each picture is a random crop, turn, recolouring or collage of them, or
procedural: dead leaves (Lee, Mumford & Huang 2001, "Occlusion Models for Natural Images") and 1/f noise.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""(height, width, 3) float32 RGB in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One photograph: the package that ships it, its path inside the package, its licence and its maker."""

    package: str
    path: str
    licence: str
    credit: str

    @property
    def name(self) -> str:
        """File name without its ending."""
        return Path(self.path).stem


HELD_OUT_NAMES = frozenset({"chelsea", "coffee", "astronaut", "motorcycle_left"})
"""Never trained on: the benchmark reads them."""


def _scikit_image(name: str, licence: str, credit: str) -> Source:
    return Source(package="skimage", path=f"data/{name}", licence=licence, credit=credit)


TRAINING_SOURCES: tuple[Source, ...] = (
    _scikit_image("camera.png", "CC0", "Lav Varshney"),
    _scikit_image("brick.png", "CC0", "CC0Textures.com, Bricks25"),
    _scikit_image("grass.png", "CC0", "linolafett (DeviantArt)"),
    _scikit_image("gravel.png", "CC0", "CC0Textures.com, Gravel04"),
    _scikit_image("coins.png", "no known copyright restrictions", "Brooklyn Museum"),
    _scikit_image("hubble_deep_field.jpg", "public domain", "NASA"),
    _scikit_image("ihc.png", "no known copyright restrictions", "Center for Microscopy And Molecular Imaging"),
    _scikit_image("retina.jpg", "CC0", "Häggström (2014), Wikimedia Commons"),
    _scikit_image("rocket.jpg", "public domain", "SpaceX"),
    _scikit_image("moon.png", "none stated by scikit-image", "unknown"),
    Source(package="sklearn", path="datasets/images/china.jpg", licence="CC BY 2.0", credit="danielbuechele (Flickr)"),
    Source(package="sklearn", path="datasets/images/flower.jpg", licence="CC BY 2.0", credit="vultilion (Flickr)"),
    Source(
        package="matplotlib",
        path="mpl-data/sample_data/grace_hopper.jpg",
        licence="public domain",
        credit="James S. Davis, United States Navy",
    ),
    Source(package="scipy", path="misc/face.dat", licence="public domain", credit="public-domain-image.com"),
    Source(package="scipy", path="misc/ascent.dat", licence="public domain", credit="public-domain-image.com"),
)


def read_photographs(
    sources: Sequence[Source] = TRAINING_SOURCES, *, packages: Path | None = None
) -> dict[str, NDArray[np.uint8]]:
    """Read every photograph that can be found; absent ones are left out.

    packages: a folder of unpacked wheels (scikit-learn, matplotlib, scipy 1.9.3 for `misc/*.dat`) looked at first;
    then the installed packages. Returns name -> (height, width, 3) uint8 RGB.
    """
    photographs = {}
    for source in sources:
        for root in _package_roots(source.package, packages):
            if (root / source.path).is_file():
                photographs[source.name] = read_picture(root / source.path)
                break
    return photographs


def _package_roots(package: str, packages: Path | None) -> list[Path]:
    roots = [packages / package] if packages else []
    found = importlib.util.find_spec(package)
    if found and found.submodule_search_locations:
        roots += [Path(location) for location in found.submodule_search_locations]
    return roots


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read one picture file as (height, width, 3) uint8 RGB. `.dat` is scipy's own container."""
    if path.suffix == ".dat":
        return _read_scipy_data(path)
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path}: not a readable picture")
    return np.ascontiguousarray(picture[:, :, ::-1]).astype(np.uint8)


def _read_scipy_data(path: Path) -> NDArray[np.uint8]:
    """`face.dat` is bzip2 of 768x1024x3 bytes; `ascent.dat` a pickle of lists; its opcodes hold them in order."""
    import bz2
    import pickletools

    if path.stem == "face":
        return np.frombuffer(bz2.decompress(path.read_bytes()), dtype=np.uint8).reshape(768, 1024, 3).copy()
    values = [
        argument
        for opcode, argument, _ in pickletools.genops(path.read_bytes())
        if opcode.name in {"BININT", "BININT1", "BININT2", "INT"}
    ]
    gray = np.array(values[-512 * 512 :], dtype=np.uint8).reshape(512, 512)
    return np.repeat(gray[:, :, None], 3, axis=2)


def fit_square(picture: NDArray[np.uint8], size: int = 128) -> NDArray[np.uint8]:
    """Cut the centre square and reduce it by area to (size, size, 3)."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return cv2.resize(picture[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA).astype(
        np.uint8
    )


class PictureMaker:
    """Draws augmented pictures. The same photographs and the same random generator give the same pictures."""

    def __init__(self, photographs: dict[str, NDArray[np.uint8]]) -> None:
        self._pyramids = [_pyramid(photographs[name]) for name in sorted(photographs)]
        colour = [float(np.ptp(level[0].reshape(-1, 3), axis=1).mean() > 4) for level in self._pyramids]
        weights = np.array([2.0 if has_colour else 1.0 for has_colour in colour])
        self._weights = weights / weights.sum()

    def draw(self, rng: np.random.Generator, *, size: int, supersampling: int = 1) -> Picture:
        """One picture of `size` pixels a side, with detail as if it were seen reduced by `supersampling`."""
        kind = rng.random()
        if self._pyramids and kind < 0.68:
            picture = self._crop(rng, size, supersampling)
        elif kind < 0.84:
            picture = self._dead_leaves(rng, size, supersampling)
        elif kind < 0.92:
            picture = self._collage(rng, size, supersampling)
        elif kind < 0.95:
            picture = spectral_noise(rng, size)
        else:
            picture = gradient(rng, size)
        return recolour(rng, picture)

    def _crop(self, rng: np.random.Generator, size: int, supersampling: int) -> Picture:
        """A turned, mirrored, scaled crop; beyond its border the photograph is mirrored."""
        pyramid = self._pyramids[rng.choice(len(self._pyramids), p=self._weights)]
        height, width = pyramid[0].shape[:2]
        smallest = 0.75 * size / supersampling
        side = math.exp(rng.uniform(math.log(smallest), math.log(max(1.6 * min(height, width), smallest + 1))))
        level = min(len(pyramid) - 1, max(0, int(math.log2(max(1.0, side / size)) + 0.3)))
        photograph = pyramid[level]
        step = side / size / 2**level
        angle = rng.choice([0.0, rng.normal(0, 0.15), rng.uniform(-math.pi, math.pi)], p=[0.6, 0.25, 0.15])
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        matrix = step * np.array(
            [[mirror * math.cos(angle), -math.sin(angle)], [mirror * math.sin(angle), math.cos(angle)]]
        )
        limit = np.array([photograph.shape[1], photograph.shape[0]], dtype=np.float64)
        margin = np.minimum(side / 2**level / 2, limit / 2)
        centre = rng.uniform(margin, limit - margin + 1e-6)
        offset = centre - matrix @ np.full(2, (size - 1) / 2)
        warped = cv2.warpAffine(
            photograph,
            np.column_stack([matrix, offset]),
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return warped.astype(np.float32) / 255.0

    def _dead_leaves(self, rng: np.random.Generator, size: int, supersampling: int) -> Picture:
        """Opaque random shapes with radii falling as 1/r**2 over one another; some carry a photograph's texture."""
        picture = self._crop(rng, size, supersampling) if self._pyramids and rng.random() < 0.5 else gradient(rng, size)
        texture = self._crop(rng, size, supersampling) if self._pyramids else spectral_noise(rng, size)
        count = int(math.exp(rng.uniform(math.log(5), math.log(250))))
        smallest, largest = 0.012 * size, 0.3 * size
        for _ in range(count):
            radius = 1.0 / rng.uniform(1 / largest, 1 / smallest)
            points = _outline(rng, rng.uniform(0, size, 2), radius)
            if rng.random() < 0.25:
                mask = np.zeros((size, size), np.uint8)
                cv2.fillPoly(mask, [points], 255, lineType=cv2.LINE_AA, shift=4)
                np.copyto(picture, texture, where=mask[:, :, None] > 127)
            else:
                cv2.fillPoly(picture, [points], tuple(rng.random(3).tolist()), lineType=cv2.LINE_AA, shift=4)
        return picture

    def _collage(self, rng: np.random.Generator, size: int, supersampling: int) -> Picture:
        """Two or three photographs joined along soft or hard random borders."""
        picture = self._crop(rng, size, supersampling) if self._pyramids else spectral_noise(rng, size)
        for _ in range(int(rng.integers(1, 3))):
            other = self._crop(rng, size, supersampling) if self._pyramids else gradient(rng, size)
            mask = soft_mask(rng, size)[:, :, None]
            picture = picture * (1 - mask) + recolour(rng, other) * mask
        return picture.astype(np.float32)


def _pyramid(photograph: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    levels = [photograph]
    while min(levels[-1].shape[:2]) > 128:
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(half.astype(np.uint8))
    return levels


def _outline(rng: np.random.Generator, centre: NDArray[np.float64], radius: float) -> NDArray[np.int32]:
    """An ellipse or a polygon as (points, 2) int32 in sixteenths of a pixel."""
    corners = int(rng.choice([3, 4, 5, 6, 24]))
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners)) if corners < 7 else np.linspace(0, 2 * math.pi, 24)
    stretch = math.exp(rng.normal(0, 0.4))
    points = np.stack([np.cos(angles) * radius * stretch, np.sin(angles) * radius / stretch], axis=1)
    turn = rng.uniform(0, 2 * math.pi)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.asarray((points @ rotation.T + centre) * 16, dtype=np.int32)


def soft_mask(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A blob over a fifth to a half of the picture: (size, size) float32 in [0, 1], its border more or less soft."""
    field = cv2.resize(rng.normal(size=(5, 5)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    threshold = float(np.quantile(field, rng.uniform(0.5, 0.8)))
    softness = math.exp(rng.uniform(math.log(0.02), math.log(0.3)))
    return np.clip((field - threshold) / softness + 0.5, 0, 1).astype(np.float32)


def spectral_noise(rng: np.random.Generator, size: int) -> Picture:
    """Noise whose amplitude falls as 1/f**a with a in [0.8, 1.8], as in photographs; channels are correlated."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    amplitude = 1.0 / np.maximum(frequency, 1.0 / size) ** rng.uniform(0.8, 1.8)
    white = rng.normal(size=(3, size, size)).astype(np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(size, size)).astype(np.float32)
    mixing = rng.normal(size=(3, 3)) * 0.5 + 0.7
    noise = np.tensordot(mixing, noise, axes=1).transpose(1, 2, 0)
    noise = (noise - noise.mean()) / (noise.std() + 1e-6)
    return np.clip(0.5 + 0.22 * noise, 0, 1).astype(np.float32)


def gradient(rng: np.random.Generator, size: int) -> Picture:
    """A smooth blend of four random corner colours; half of the time a single colour."""
    corners = rng.random((2, 2, 3)).astype(np.float32)
    if rng.random() < 0.5:
        corners[:] = corners[0, 0]
    return cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def recolour(rng: np.random.Generator, picture: Picture) -> Picture:
    """Random gamma, contrast, brightness, saturation and hue; gray pictures are tinted half of the time."""
    is_gray = float(np.ptp(picture[::8, ::8], axis=2).mean()) < 0.01
    if is_gray and rng.random() < 0.6:
        ramp = np.sort(rng.random((4, 3)), axis=0) if rng.random() < 0.7 else rng.random((4, 3))
        position = np.linspace(0, 1, 4)
        picture = np.stack([np.interp(picture[:, :, 0], position, ramp[:, c]) for c in range(3)], axis=2)
    elif not is_gray and rng.random() < 0.6:
        picture = picture @ _colour_rotation(rng.normal(0, 0.5), math.exp(rng.normal(0, 0.3)))
    if rng.random() < 0.7:
        picture = np.clip(picture, 0, 1) ** math.exp(rng.normal(0, 0.3))
        picture = (picture - 0.5) * math.exp(rng.normal(0.0, 0.25)) + 0.5 + rng.normal(0, 0.06)
        picture = picture * (1 + rng.normal(0, 0.05, 3))
    return np.clip(picture, 0, 1).astype(np.float32)


def _colour_rotation(angle: float, saturation: float) -> NDArray[np.float64]:
    """A turn about the gray axis by `angle` radians, times `saturation` across it: (3, 3), for row vectors."""
    axis = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    across = math.cos(angle) * (np.eye(3) - axis) + math.sin(angle) * cross
    return np.asarray((axis + saturation * across).T)


def training_picture(maker: PictureMaker, rng: np.random.Generator, *, size: int = 128) -> Picture:
    """A picture as a user's photograph looks after fitting: drawn at twice the size, reduced, sometimes sharpened."""
    supersampling = 2 if rng.random() < 0.7 else 1
    picture = maker.draw(rng, size=size * supersampling, supersampling=supersampling)
    if supersampling > 1:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        picture = picture + rng.uniform(0.2, 0.8) * (picture - cv2.GaussianBlur(picture, (0, 0), 1.0))
    return np.clip(picture, 0, 1).astype(np.float32)
