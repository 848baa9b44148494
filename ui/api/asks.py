"""What comes in over HTTP, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, JsonValue

from studio.config import VisibleLabel
from studio.jobs.job import MAX_PRIORITY, MIN_PRIORITY
from studio.request import OnUnsupported, Task
from studio.resolve import MAX_PROMPT_CHARACTERS, MAX_SEED

MAX_OPTIONS = 100
MAX_REFERENCES = 16
MAX_WHOLE = 2**31 - 1
_EXAMPLE: dict[str, JsonValue] = {
    "model": "micro-wan",
    "prompt": "a green triangle growing on a brown background",
    "seed": 1,
}


def _true_or_false(value: object) -> object:
    """Refuse the many other words that stand for a truth value in forms."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("this is neither true nor false")
    return value


def _no_default(schema: dict[str, Any]) -> None:
    """Let the document say that a field may be left out, and nothing of null."""
    schema.pop("default", None)


Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
Whole = Annotated[int, Field(ge=1, le=MAX_WHOLE)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Rate = Annotated[
    Annotated[FiniteFloat, Field(gt=0, le=1000)]
    | Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$|^[0-9]{1,9}/[0-9]{1,9}$")],
    Field(description="Frames per second: a number, or a fraction such as 30000/1001."),
]
Seconds = Annotated[FiniteFloat, Field(gt=0, le=86400)]
Duration = Annotated[
    Seconds,
    Field(description="Instead of num_frames; a model that makes only some numbers of frames takes the nearest."),
]
Resolution = Annotated[
    str, Field(min_length=1, max_length=40, description="Instead of width and height, such as 720p; see /v1/models.")
]
AspectRatio = Annotated[
    str, Field(pattern=r"^[0-9]{1,5}:[0-9]{1,5}$", description="Instead of width and height, such as 16:9.")
]
Unsupported = Annotated[
    OnUnsupported,
    Field(
        description="What is to become of what the model lacks (negative prompt, seed, sound, steps, guidance, frame "
        "rate, options): refused, or left out with a warning.",
    ),
]
Priority = Annotated[int, Field(ge=MIN_PRIORITY, le=MAX_PRIORITY, description="Higher comes first.")]
OptionName = Annotated[str, Field(max_length=80)]
OptionText = Annotated[str, Field(max_length=1000)]
Options = Annotated[
    dict[OptionName, bool | Annotated[int, Field(ge=-(2**63), lt=2**63)] | FiniteFloat | OptionText],
    Field(max_length=MAX_OPTIONS, description="The model's own parameters by name, see /v1/models."),
]


Flag = Annotated[bool, BeforeValidator(_true_or_false)]


class Ask(BaseModel):
    """Something that comes in: unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


class ImageReference(Ask):
    """A picture inside a JSON body. Nothing is ever fetched from an address."""

    image_url: Annotated[str, Field(pattern=r"^data:image/[a-z0-9.+-]{1,40};base64,", max_length=2**20)]


class RequestFields(Ask):
    """The fields of a request; what is left out is filled from the model's row."""

    task: Annotated[Task | None, Field(description="Told from the pictures that are given when left out.")] = None
    prompt: Text = ""
    negative_prompt: Text = ""
    seed: Annotated[Seed | None, Field(description="Same seed, same frames; drawn when left out.")] = None
    width: Whole | None = None
    height: Whole | None = None
    resolution: Resolution | None = None
    aspect_ratio: AspectRatio | None = None
    num_frames: Whole | None = None
    duration_seconds: Duration | None = None
    frame_rate: Rate | None = None
    num_inference_steps: Whole | None = None
    guidance_scale: FiniteFloat | None = None
    generate_audio: Flag | None = None
    options: Options = {}
    on_unsupported: Unsupported = "reject"


class VideoRequest(RequestFields):
    """A clip to be made. Ranges depend on the model: /v1/models lists them, and what does not fit is refused."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    model: Annotated[str, Field(min_length=1, max_length=80)]
    input_reference: Annotated[ImageReference | None, Field(description="The first frame.")] = None
    last_frame: ImageReference | None = None
    references: Annotated[
        list[ImageReference], Field(max_length=MAX_REFERENCES, description="Pictures of who or what is to appear.")
    ] = []
    seconds: Annotated[
        Seconds | Annotated[str, Field(pattern=r"^[0-9]{1,5}(\.[0-9]{1,3})?$")] | None,
        Field(
            description="Length of the clip, instead of num_frames. It must fit the model's frames exactly, with or "
            "without the time of the last frame: 33 frames at 8 per second are 4 seconds.",
        ),
    ] = None
    size: Annotated[
        str | None,
        Field(pattern=r"^[0-9]{1,5}x[0-9]{1,5}$", description="Instead of width and height."),
    ] = None
    fps: Annotated[Rate | None, Field(description="Another name of frame_rate.")] = None
    priority: Priority = 0
    on_fail: Annotated[
        str | None,
        Field(
            pattern=r"^(flag|hold|refuse|retry:([1-9]|1[0-9]|20))$",
            description="What happens to a clip that fails a check; the studio's setting when left out.",
        ),
    ] = None
    label: Annotated[VisibleLabel | None, Field(description="Drawn into the picture.")] = None
    max_cost: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})? [A-Za-z]{3}$",
            description='A remote clip that would cost more, or nobody knows what, is refused: "1.50 USD".',
        ),
    ] = None


class JobChanges(Ask):
    """Fields of a request that are to be different."""

    model: Annotated[str, Field(min_length=1, max_length=80, json_schema_extra=_no_default)] = ""
    task: Task | None = None
    prompt: Text | None = None
    negative_prompt: Text | None = None
    seed: Seed | None = None
    width: Whole | None = None
    height: Whole | None = None
    resolution: Resolution | None = None
    aspect_ratio: AspectRatio | None = None
    num_frames: Whole | None = None
    duration_seconds: Duration | None = None
    frame_rate: Rate | None = None
    num_inference_steps: Whole | None = None
    guidance_scale: FiniteFloat | None = None
    generate_audio: bool | None = None
    options: Options | None = None
    on_unsupported: Annotated[Unsupported, Field(json_schema_extra=_no_default)] = "reject"


class JobPatch(JobChanges):
    """What is to be different about a job that waits."""

    priority: Priority | None = None


class Move(Ask):
    """Where a waiting job is to stand: one of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["before"]}, {"required": ["to"]}]})

    before: Annotated[
        str, Field(max_length=80, description="Id of another waiting job.", json_schema_extra=_no_default)
    ] = ""
    to: Annotated[Literal["first", "last"], Field(json_schema_extra=_no_default)] = "last"
