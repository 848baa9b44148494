"""SkyReels-V2's solver with a place for what its copies have come to, so that a run goes on bit for bit.

Diffusion forcing gives each latent frame a time of its own, and diffusers' pipeline a copy of the scheduler, in a
variable of its loop that is out of reach of a callback. Imports diffusers: to be imported where a pipeline is loaded.
"""

from __future__ import annotations

import copy
from typing import Any

from diffusers import UniPCMultistepScheduler

# What a copy does not tell: its constants, and what others told it.
_UNTOLD = ("_internal_dict", "copies")


class ForcingScheduler(UniPCMultistepScheduler):  # type: ignore[misc]
    """The same steps as its parent's; a copy tells the one it was made from, after each step, what it has come to.

    copies: state of each copy that has done a step, in the order of their first ones; kept with the original's state.
    What stands there when a copy does its next step is what it goes on from.
    """

    # Beside the instance's dictionary, which is the state that is kept.
    __slots__ = ("_number", "_original", "_told")
    _original: ForcingScheduler | None
    _number: int | None
    _told: dict[str, Any] | None

    def __new__(cls, *_given: Any, **_named: Any) -> ForcingScheduler:
        """Return a scheduler that is nobody's copy."""
        scheduler: ForcingScheduler = super().__new__(cls)
        scheduler._original, scheduler._number, scheduler._told = None, None, None
        return scheduler

    def __deepcopy__(self, memo: dict[int, Any]) -> ForcingScheduler:
        twin = type(self).__new__(type(self))
        twin.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        twin._original = self
        return twin

    def set_timesteps(self, *given: Any, **named: Any) -> None:
        """Begin a run that remembers nothing."""
        super().set_timesteps(*given, **named)
        self.copies: list[dict[str, Any]] = []  # type: ignore[misc]

    def step(self, model_output: Any, timestep: Any, sample: Any, return_dict: bool = True) -> Any:
        """Do one step, from what the original knows of this copy."""
        original = self._original
        if original is None:
            return super().step(model_output, timestep, sample, return_dict)
        if self._number is None:
            self._number = len(original.copies)
            original.copies.append({})
        known = original.copies[self._number]
        if known is not self._told:
            self.__dict__.update(_with_own_lists(known))
            # The pipeline writes its latents in place, so that the last sample is always the present one.
            if known.get("last_sample") is not None:
                self.__dict__["last_sample"] = sample
        output = super().step(model_output, timestep, sample, return_dict)
        self._told = _with_own_lists({name: value for name, value in self.__dict__.items() if name not in _UNTOLD})
        original.copies[self._number] = self._told
        return output


def _with_own_lists(state: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, list) else value for name, value in state.items()}
