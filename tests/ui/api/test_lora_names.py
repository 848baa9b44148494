"""LoRAs over HTTP: files of the studio's own folder, and nothing of any other folder, in either direction."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from studio.app import Studio
from studio.errors import UnsupportedValue
from studio.jobs.job import JobWish
from studio.request import GenerationRequest
from tests.ui.api.conftest import Served, refusal
from ui.api.lora_names import require_names, without_folders

MODEL = "micro-wan"
PROMPT = "a red circle moving left on a black background"
DIGEST = "0123456789abcdef" * 4
OUTSIDE = [
    "../style.safetensors",
    "/etc/style.safetensors:0.5",
    "~/style.safetensors",
    "~",
    "~root.safetensors",
    "more/style.safetensors",
    "..",
    ".",
    "..\\style.safetensors",
    "C:\\loras\\style.safetensors",
    "C:style.safetensors",
    "good.safetensors, high:../style.safetensors",
    "high: /style.safetensors",
    f"good.safetensors:0.5@{DIGEST},low:/style.safetensors@{DIGEST}",
]
INSIDE = [
    "",
    " , ",
    "style.safetensors",
    "high:style.safetensors:0.5, low:other.safetensors",
    f"style v2.safetensors:-1e-05@{DIGEST}",
]


def write_lora(path: Path) -> Path:
    """Write the smallest file that passes for a LoRA."""
    header = json.dumps({"a.lora_A.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    return path


def body(lora: str) -> dict[str, object]:
    return {"model": MODEL, "prompt": PROMPT, "options": {"lora": lora}}


@pytest.mark.parametrize("text", OUTSIDE)
def test_what_is_no_mere_name_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedValue, match=r"option lora: .*names of files in STUDIO_HOME/loras"):
        require_names({"lora": text})


@pytest.mark.parametrize("text", INSIDE)
def test_names_with_strengths_and_digests_pass(text: str) -> None:
    require_names({"lora": text, "speed": "../fast"})


@pytest.mark.parametrize("path", ["/v1/estimate", "/v1/videos"])
def test_a_file_elsewhere_is_no_business_of_a_client_whether_it_is_there_or_not(
    served: Served, tmp_path: Path, path: str
) -> None:
    answers = [
        refusal(served.client.post(path, json=body(str(file))), 422)
        for file in (write_lora(tmp_path / "there.safetensors"), tmp_path / "not.safetensors")
    ]
    assert [answer["field"] for answer in answers] == ["options.lora"] * 2
    assert [answer["got"] for answer in answers] == ["there.safetensors", "not.safetensors"]
    assert str(tmp_path) not in json.dumps(answers)


def test_a_form_is_no_way_round(served: Served, picture: bytes) -> None:
    fields = {"model": MODEL, "prompt": PROMPT, "options": json.dumps({"lora": "../a.safetensors"})}
    answer = served.client.post("/v1/estimate", data=fields, files={"input_reference": ("a.png", picture, "image/png")})
    assert refusal(answer, 422)["field"] == "options.lora"


def test_nor_is_a_change_of_a_job(served: Served, studio: Studio) -> None:
    wish = GenerationRequest(model=MODEL, prompt=PROMPT)
    job = studio.desk.submit(wish, JobWish())
    changes = {"options": {"lora": "../a.safetensors"}}
    assert refusal(served.client.patch(f"/v1/jobs/{job.id}", json=changes), 422)["field"] == "options.lora"
    studio.desk.cancel(job.id)
    answer = served.client.post(f"/v1/jobs/{job.id}/retry", json=changes)
    assert refusal(answer, 422)["field"] == "options.lora"
    assert studio.desk.job(job.id).request["options"]["lora"] == ""


def test_an_option_that_goes_back_to_its_default_is_no_name(served: Served, studio: Studio) -> None:
    job = studio.desk.submit(GenerationRequest(model=MODEL, prompt=PROMPT), JobWish())
    assert served.client.patch(f"/v1/jobs/{job.id}", json={"options": None}).status_code == 200


def test_a_file_of_the_folder_is_taken_and_one_that_changed_is_a_conflict(served: Served, studio: Studio) -> None:
    write_lora(studio.settings.home / "loras" / "style.safetensors")
    answer = served.client.post("/v1/estimate", json=body("style.safetensors:0.5"))
    assert answer.status_code == 200, answer.text
    text = answer.json()["request"]["options"]["lora"]
    assert text.startswith("style.safetensors:0.5@")
    assert served.client.post("/v1/estimate", json=body(text)).json()["request"]["options"]["lora"] == text
    found = refusal(served.client.post("/v1/estimate", json=body(f"style.safetensors@{DIGEST}")), 409)
    assert found["code"] == "weights_mismatch"
    assert found["allowed"] == DIGEST
    missing = refusal(served.client.post("/v1/estimate", json=body("other.safetensors")), 422)
    assert missing["allowed"] == "files in STUDIO_HOME/loras"


def test_where_a_lora_of_the_command_line_lies_is_not_told(served: Served, studio: Studio, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "private" / "mine.safetensors")
    wish = GenerationRequest(model=MODEL, prompt=PROMPT, options={"lora": f"{path}:0.5"})
    job = studio.desk.submit(wish, JobWish())
    answer = served.client.get(f"/v1/jobs/{job.id}")
    assert answer.json()["request"]["options"]["lora"].startswith("mine.safetensors:0.5@")
    assert "private" not in answer.text
    assert "private" not in served.client.get("/v1/jobs").text


def test_folders_are_taken_off_and_nothing_else() -> None:
    text = f"high:/a/b/style.safetensors:0.5@{DIGEST}, C:\\x\\y.safetensors:1, more/z.safetensors:1, ~/w.safetensors"
    assert without_folders({"lora": text, "pan": "/left"}) == {
        "lora": f"high:style.safetensors:0.5@{DIGEST}, y.safetensors:1, more/z.safetensors:1, w.safetensors",
        "pan": "/left",
    }
    assert without_folders({"pan": "left"}) == {"pan": "left"}
