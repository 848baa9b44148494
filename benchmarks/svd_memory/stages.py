"""What each stage of a counted run took."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.counting import Counting, Holder


@dataclass(kw_only=True)
class Stage:
    """One stage, or the hungriest of several of its kind. Memory in bytes: on the device, weights included, and beside.

    flops, traffic_bytes, operations: of one of them. holders: the largest pieces of memory at the peak.
    """

    peak_bytes: int
    host_bytes: int
    flops: int
    traffic_bytes: int
    operations: int
    holders: list[Holder]


@dataclass
class Stages:
    """Cuts a counted run into stages: each `end` closes the one that has been going on."""

    count: Counting
    found: dict[str, Stage] = field(default_factory=dict)

    def end(self, name: str) -> None:
        """Keep what was counted since the last end; of stages of one name the one with the highest peak."""
        memory = self.count.memory
        stage = Stage(
            peak_bytes=memory.peak_bytes,
            host_bytes=self.count.host_memory.peak_bytes,
            flops=self.count.flops,
            traffic_bytes=self.count.traffic_bytes,
            operations=self.count.operations,
            holders=memory.largest(4),
        )
        if name not in self.found or self.found[name].peak_bytes < stage.peak_bytes:
            self.found[name] = stage
        self.count.reset()

    def skip(self) -> None:
        """Forget what was counted since the last end."""
        self.count.reset()

    @property
    def hungriest(self) -> str:
        """Return the name of the stage with the highest peak."""
        return max(self.found, key=lambda name: self.found[name].peak_bytes)
