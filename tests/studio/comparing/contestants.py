"""Rows of models that differ in what they can do, all served by the scripted generator."""

from __future__ import annotations

from pathlib import Path

_HEAD = """
[[models]]
id = "{id}"
name = "{id}"
summary = "For tests of comparisons"
family = "scripted"
where = "remote"
generator = "tests.fakes:ScriptedGenerator"
tasks = {tasks}
licence = {{ id = "Apache-2.0" }}
settings = {{ script = "moving"{settings} }}
"""
_SHADE = 'options.shade = { type = "integer", default = 10, min = 0, max = 50, help = "brightness added" }\n'
_REMOTE = """
[models.remote]
provider = "acme"
provider_name = "Acme"
base_url = "https://acme.example"
base_url_variable = "ACME_URL"
attribution = "Powered by Acme"
"""

# One size, one length, one rate, no guidance.
SQUARE = (
    _HEAD.format(id="square", tasks='["text-to-video", "image-to-video"]', settings="")
    + """
[models.parameters]
width = { min = 128, max = 128, default = 128 }
height = { min = 128, max = 128, default = 128 }
num_frames = { min = 17, max = 17, default = 17 }
frame_rate = { min = 8, max = 8, default = 8 }
num_inference_steps = { min = 1, max = 8, default = 4 }
prompt = "optional"
"""
    + _SHADE
)
# As a provider's model: named formats, whole seconds, no seed, no negative prompt, no steps, sound if wanted, a price.
CLOUD = (
    _HEAD.format(id="cloud", tasks='["text-to-video", "image-to-video"]', settings=", price = 0.25")
    + """
[models.parameters]
formats = [
  { width = 192, height = 108, resolution = "108p", aspect_ratio = "16:9" },
  { width = 128, height = 128, resolution = "128p", aspect_ratio = "1:1" },
]
durations = { min = 1, max = 3, default = 2 }
frame_rate = { min = 8, max = 8, default = 8 }
prompt = "required"
seed = false
audio = true
"""
    + _SHADE
    + _REMOTE
    + 'audio = "optional"\n'
)
# Starts from a picture and reads no text.
PICTURE = (
    _HEAD.format(id="picture", tasks='["image-to-video"]', settings="")
    + """
[models.parameters]
width = { min = 64, max = 256, default = 128, step = 16 }
height = { min = 64, max = 256, default = 128, step = 16 }
num_frames = { min = 5, max = 33, default = 9, step = 4, offset = 1 }
frame_rate = { min = 4, max = 16, default = 8 }
prompt = "unused"
"""
    + _SHADE
)
# Takes no picture.
WORDS = (
    _HEAD.format(id="words", tasks='["text-to-video"]', settings="")
    + """
[models.parameters]
width = { min = 64, max = 256, default = 96, step = 32 }
height = { min = 64, max = 256, default = 96, step = 32 }
max_pixels = 20000
num_frames = { min = 5, max = 33, default = 9, step = 4, offset = 1 }
frame_rate = { min = 1, max = 30, default = 8 }
frame_rates = [8, 12.5, 24]
prompt = "optional"
"""
    + _SHADE
)
# Knows a picture to begin with and one to end with.
ENDS = (
    _HEAD.format(id="ends", tasks='["image-to-video", "first-last-frame-to-video"]', settings="")
    + """
[models.parameters]
width = { min = 64, max = 256, default = 128, step = 16 }
height = { min = 64, max = 256, default = 128, step = 16 }
num_frames = { min = 5, max = 33, default = 9, step = 4, offset = 1 }
frame_rate = { min = 4, max = 16, default = 8 }
prompt = "optional"
"""
    + _SHADE
)


def write_contestants(folder: Path) -> Path:
    """Add the rows to a catalog folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contestants.toml").write_text(SQUARE + CLOUD + PICTURE + WORDS + ENDS)
    return folder
