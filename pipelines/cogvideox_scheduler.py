"""CogVideoX's solver with its memory in itself, so that a run that was broken off goes on bit for bit.

diffusers' pipelines hold what the step before predicted in a variable of their loop, out of reach of a callback.
Imports torch and diffusers: to be imported where a pipeline is loaded.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import CogVideoXDPMScheduler


class RememberingScheduler(CogVideoXDPMScheduler):  # type: ignore[misc]
    """The same steps as its parent's.

    last_prediction: of the clean latents by the step before, None before the first; kept with the scheduler's state.
    """

    last_prediction: torch.Tensor | None = None

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Begin a run that remembers nothing."""
        super().set_timesteps(num_inference_steps, device)
        self.last_prediction = None

    def step(
        self,
        model_output: torch.Tensor,
        old_pred_original_sample: torch.Tensor | None,  # noqa: ARG002
        timestep: int,
        timestep_back: int | None,
        sample: torch.Tensor,
        eta: float = 0.0,
        generator: torch.Generator | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Do one step. old_pred_original_sample: as the pipeline's loop has it; its own memory is used instead."""
        output = super().step(
            model_output,
            self.last_prediction,
            timestep,
            timestep_back,
            sample,
            eta=eta,
            generator=generator,
            return_dict=return_dict,
        )
        self.last_prediction = output[1]
        return output
