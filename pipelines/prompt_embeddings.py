"""Text embeddings of a request by a pipeline's own `encode_prompt`, under the names that its call takes them by."""

from __future__ import annotations

from typing import Any

from pipelines.local import guidance_of
from studio.request import ResolvedRequest

PLAIN = ("prompt_embeds", "negative_prompt_embeds")
MASKED = (
    "prompt_embeds",
    "prompt_attention_mask",
    "negative_prompt_embeds",
    "negative_prompt_attention_mask",
)


def encode_prompt(pipeline: Any, resolved: ResolvedRequest, names: tuple[str, ...], **own: Any) -> dict[str, Any]:
    """Return the embeddings of the prompt, and of the negative one where guidance asks for it.

    names: of what `encode_prompt` returns, in its order. own: its further arguments, or others than the request's.
    """
    arguments = {
        "prompt": resolved.prompt,
        "negative_prompt": resolved.negative_prompt,
        "do_classifier_free_guidance": guidance_of(resolved) > 1,
        "device": pipeline._execution_device,
        **own,
    }
    found = pipeline.encode_prompt(**arguments)
    return {name: tensor for name, tensor in zip(names, found, strict=True) if tensor is not None}
