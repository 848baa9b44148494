"""Rows of a provider that there is none of, and of a local model, as small as they can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from studio.catalog.schema import ModelSpec
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from studio.resolve import resolve

FORMATS = [
    {"width": 1280, "height": 720, "resolution": "720p", "aspect_ratio": "16:9"},
    {"width": 720, "height": 1280, "resolution": "720p", "aspect_ratio": "9:16"},
    {"width": 1920, "height": 1080, "resolution": "1080p", "aspect_ratio": "16:9"},
    {"width": 1080, "height": 1920, "resolution": "1080p", "aspect_ratio": "9:16"},
    {"width": 960, "height": 960, "resolution": "720p", "aspect_ratio": "1:1", "tasks": ["image-to-video"]},
]
TASKS = ["text-to-video", "image-to-video", "first-last-frame-to-video", "reference-to-video", "video-to-video"]
SHARED = {"id": "cloud-one", "name": "One", "summary": "For tests", "family": "one", "licence": {"id": "none"}}


def remote_row(parameters: dict[str, Any] | None = None, **remote: Any) -> ModelSpec:
    """Return a row of a provider: formats, 4, 6 or 8 seconds at 24 frames per second."""
    rules = {
        "formats": FORMATS,
        "durations": {"min": 4, "max": 8, "default": 6, "step": 2},
        "frame_rate": {"min": 24, "max": 24, "default": 24},
    }
    served = {
        "provider": "cloud",
        "provider_name": "Cloud",
        "base_url": "https://api.cloud.example",
        "base_url_variable": "CLOUD_URL",
    }
    table = {
        "where": "remote",
        "generator": "providers.cloud:Cloud",
        "tasks": TASKS,
        "parameters": rules | (parameters or {}),
        "remote": served | remote,
    }
    return ModelSpec.model_validate(SHARED | table)


def local_row(**parameters: Any) -> ModelSpec:
    """Return a row of a local model: any size in steps of 16, 4k+1 frames up to 81 at 16 per second."""
    rules = {
        "width": {"min": 64, "max": 1280, "default": 832, "step": 16},
        "height": {"min": 64, "max": 1280, "default": 480, "step": 16},
        "num_frames": {"min": 5, "max": 81, "default": 33, "step": 4, "offset": 1},
        "frame_rate": {"min": 1, "max": 60, "default": 16},
    }
    weights = {"source": "hub", "repository": "someone/something"}
    table = {
        "where": "local",
        "generator": "pipelines.one:One",
        "tasks": TASKS[:2],
        "weights": weights,
        "parameters": rules | parameters,
    }
    return ModelSpec.model_validate(SHARED | {"id": "local-one"} | table)


def resolved(spec: ModelSpec, **fields: Any) -> ResolvedRequest:
    """Return a wish resolved by a row."""
    return resolve(spec, GenerationRequest(model=spec.id, **{"prompt": "a fox", **fields}))


def picture(folder: Path, width: int, height: int, role: Role = Role.FIRST_FRAME) -> Conditioning:
    """Return a picture of this size."""
    path = folder / f"{role.value}-{width}x{height}.png"
    PIL.Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)
    return Conditioning(role=role, path=path)


CLOUD = """
[[models]]
id = "scripted-cloud"
name = "Scripted cloud"
summary = "Follows a script, in the formats of a provider"
family = "scripted"
where = "remote"
generator = "tests.fakes:ScriptedGenerator"
tasks = ["text-to-video", "image-to-video", "first-last-frame-to-video", "reference-to-video", "video-to-video"]
licence = { id = "Apache-2.0" }
settings = { script = "moving" }

[models.parameters]
formats = [
    { width = 256, height = 144, resolution = "144p", aspect_ratio = "16:9" },
    { width = 144, height = 256, resolution = "144p", aspect_ratio = "9:16" },
    { width = 512, height = 288, resolution = "288p", aspect_ratio = "16:9" },
    { width = 288, height = 512, resolution = "288p", aspect_ratio = "9:16" },
]
durations = { min = 1, max = 3, default = 2 }
frame_rate = { min = 8, max = 12, default = 8 }
frame_rates = [8, 12]
seed = false
prompt = "optional"
options.shade = { type = "integer", default = 10, min = 0, max = 50, help = "brightness added" }

[models.remote]
provider = "cloud"
provider_name = "Cloud"
base_url = "https://api.cloud.example"
base_url_variable = "CLOUD_URL"
needs_key = false
audio = "always"
max_references = 3
"""


def write_cloud_row(folder: Path) -> None:
    """Add to a catalog folder a scripted model that has a provider's formats, whole seconds and always sound."""
    (folder / "cloud.toml").write_text(CLOUD)
