"""What the documentation shows is read as it says."""

from __future__ import annotations

import re
from pathlib import Path

from studio.batch.fields import FIELDS, PARTS
from tests.studio.batch.conftest import Read

PAGE = (Path(__file__).parents[3] / "docs" / "batches.md").read_text()


def test_the_example_makes_the_clips_it_promises(read: Read) -> None:
    example = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
    found = read("autumn.yaml", example)
    assert len(found) == 12
    assert found[0].request.prompt == "a large red star bouncing on a navy background"
    assert [entry.output.name for entry in found[:2] if entry.output] == ["red-1.mp4", "red-2.mp4"]


def test_every_field_is_documented() -> None:
    assert [name for name in (*FIELDS, *PARTS) if f"`{name}`" not in PAGE] == []
