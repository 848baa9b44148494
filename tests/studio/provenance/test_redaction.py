"""A file that keeps its prompt back keeps back those of all that went into it, and stays valid for every verifier."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conformance.kinds import Maker
from studio.app import Studio
from studio.config import PromptPolicy
from studio.export import signer
from studio.provenance.certificates import SigningIdentity
from studio.provenance.inspect import C2paReading, read_c2pa
from studio.provenance.manifest import GENERATION_LABEL, Ingredient, Origin, Provenance
from studio.provenance.prompts import tells_more
from studio.provenance.redaction import LEFT_OUT_NOTE, REDACTED_NOTE, to_redact
from studio.provenance.sidecar import sidecar_of
from studio.provenance.trust import identity_list
from studio.request import GenerationRequest
from tests.studio.provenance.conftest import PROVENANCE, SignedFile

MP4 = "video/mp4"
FIRST, SECOND = "an otter nobody shall hear of", "the umbrella that was never sold"
FULL, HASH, NONE = PromptPolicy.FULL, PromptPolicy.HASH, PromptPolicy.NONE


def made(policy: PromptPolicy, prompt: str, *inputs: Path, origin: Origin = Origin.CONDITIONED_VIDEO) -> Provenance:
    relationship: Any = "parentOf" if origin is Origin.TRIMMED else "inputTo"
    items = tuple(
        Ingredient(path=path, title=f"input {number}", mime_type=MP4, relationship=relationship)
        for number, path in enumerate(inputs, 1)
    )
    return replace(
        PROVENANCE,
        origin=origin if inputs else Origin.TEXT_TO_VIDEO,
        prompt=prompt,
        prompt_policy=policy,
        ingredients=items,
    )


def forms(words: str) -> list[bytes]:
    """Return what the words could look like in a file without being compressed."""
    plain = words.encode()
    return [plain, words.encode("utf-16-le"), words.encode("utf-16-be"), base64.b64encode(plain), plain.hex().encode()]


def unpacked(content: bytes) -> bytes:
    """Return the file and whatever in it can be inflated: zlib's streams begin with 0x78."""
    parts, start = [content], -1
    while (start := content.find(b"\x78", start + 1)) >= 0:
        try:
            parts.append(zlib.decompressobj().decompress(content[start : start + 2**16], 2**20))
        except zlib.error:
            continue
    return b"\0".join(parts)


def tells(path: Path, *prompts: str) -> bool:
    content = unpacked(path.read_bytes())
    return any(form in content for words in prompts for form in forms(words))


def read(path: Path, identity: SigningIdentity) -> C2paReading:
    return read_c2pa(path, lists=[identity_list(identity)])


def agreed(path: Path, identity: SigningIdentity) -> bool:
    oracle = pytest.importorskip("encypher_c2pa")
    found = oracle.verify(
        str(path), MP4, no_default_trust=True, trust_pem=identity.anchors_pem.decode(), telemetry=False, online=False
    )
    return (found["validation_state"], found["validation_results"]["failure"]) == ("Trusted", [])


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_search_finds_a_prompt_in_every_form(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for form in [*forms(FIRST), zlib.compress(b"abc" + FIRST.encode() * 3)]:
        path.write_bytes(b"xyz" * 100 + form + b"xyz" * 100)
        assert tells(path, FIRST)
    path.write_bytes(b"xyz" * 100)
    assert not tells(path, FIRST)


@pytest.mark.parametrize("policy", [HASH, NONE])
@pytest.mark.parametrize("origin", [Origin.CONDITIONED_VIDEO, Origin.TRIMMED])
def test_prompts_of_ingredients_at_any_depth_stay_out(
    policy: PromptPolicy, origin: Origin, signed_file: SignedFile, identity: SigningIdentity
) -> None:
    first = signed_file(made(FULL, FIRST), name="first.mp4")
    second = signed_file(made(FULL, SECOND, first), name="second.mp4")
    assert tells(first, FIRST)
    assert tells(second, FIRST)
    third = signed_file(made(policy, SECOND, second, origin=origin), name="third.mp4")
    assert not tells(third, FIRST, SECOND)
    reading = read(third, identity)
    assert (reading.state, reading.problem) == ("trusted", None)
    assert [item.state for item in reading.ingredients] == ["trusted"]
    assert reading.generation is not None
    assert REDACTED_NOTE in reading.generation["warnings"]
    assert agreed(third, identity)


def test_a_proof_of_a_prompt_stays_out_of_a_file_that_tells_nothing(
    signed_file: SignedFile, identity: SigningIdentity
) -> None:
    parent = signed_file(made(HASH, FIRST), name="parent.mp4")
    assert b"prompt_hmac_sha256" in parent.read_bytes()
    child = signed_file(made(NONE, "", parent), name="child.mp4")
    assert b"prompt_hmac_sha256" not in child.read_bytes()
    assert agreed(child, identity)
    kept = signed_file(made(HASH, SECOND, parent), name="kept.mp4")
    assert kept.read_bytes().count(b"\x72prompt_hmac_sha256") == 2


def test_what_may_be_told_is_passed_on_whole(signed_file: SignedFile, identity: SigningIdentity) -> None:
    parent = signed_file(made(FULL, FIRST), name="parent.mp4")
    child = signed_file(made(FULL, SECOND, parent), name="child.mp4")
    assert tells(child, FIRST)
    assert tells(child, SECOND)
    reading = read(child, identity)
    assert reading.generation is not None
    assert reading.generation["warnings"] == list(PROVENANCE.warnings)


def test_a_file_made_from_a_redacted_one_is_valid_too(signed_file: SignedFile, identity: SigningIdentity) -> None:
    first = signed_file(made(FULL, FIRST), name="first.mp4")
    second = signed_file(made(NONE, "", first), name="second.mp4")
    third = signed_file(made(FULL, SECOND, second), name="third.mp4")
    assert not tells(third, FIRST)
    assert read(third, identity).state == "trusted"
    assert agreed(third, identity)


@pytest.mark.parametrize("policy", [FULL, NONE])
def test_a_record_that_one_ingredient_lacks_and_another_brings_does_not_spoil_the_file(
    policy: PromptPolicy, signed_file: SignedFile, identity: SigningIdentity
) -> None:
    first = signed_file(made(FULL, FIRST), name="first.mp4")
    second = signed_file(made(NONE, "", first), name="second.mp4")
    third = signed_file(made(policy, SECOND, first, second), name="third.mp4")
    assert not tells(third, FIRST)
    reading = read(third, identity)
    assert reading.state == "trusted"
    assert [item.state for item in reading.ingredients] == ["absent", "trusted"]
    assert reading.generation is not None
    assert LEFT_OUT_NOTE in reading.generation["warnings"]
    assert agreed(third, identity)


def test_the_same_ingredient_twice_is_redacted_once(signed_file: SignedFile, identity: SigningIdentity) -> None:
    first = signed_file(made(FULL, FIRST), name="first.mp4")
    twice = signed_file(made(NONE, "", first, first), name="twice.mp4")
    assert not tells(twice, FIRST)
    assert agreed(twice, identity)


@pytest.mark.parametrize("fault", ["content", "record"])
def test_a_tampered_ingredient_is_redacted_and_still_called_invalid(
    fault: str, signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    content = signed_file(made(FULL, FIRST), name="first.mp4").read_bytes()
    tampered = tmp_path / "tampered.mp4"
    tampered.write_bytes(
        content[:-10] + bytes(10) if fault == "content" else content.replace(b"Micro Wan", b"Macro Wan")
    )
    child = signed_file(made(NONE, "", tampered), name="child.mp4")
    assert not tells(child, FIRST)
    reading = read(child, identity)
    assert reading.state == "trusted"
    assert [item.state for item in reading.ingredients] == ["invalid"]


@pytest.mark.parametrize("trouble", ["refused", "ineffective"])
def test_where_nothing_can_be_taken_out_the_credentials_are_left_out_and_it_is_said(
    trouble: str, signed_file: SignedFile, identity: SigningIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own redaction is switched off here: it is asked for a record that is not there, or for nothing."""
    first = signed_file(made(FULL, FIRST), name="first.mp4")
    plan = signer.prepare

    def misled(definition: dict[str, Any], ingredients: Any) -> Any:
        planned = plan(definition, ingredients)
        wrong = {k: v for k, v in planned.definition.items() if k != "redactions"}
        if trouble == "refused":
            wrong["redactions"] = [planned.definition["redactions"][0] + "x"]
        return replace(planned, definition=wrong)

    monkeypatch.setattr(signer, "prepare", misled)
    child = signed_file(made(NONE, "", first), name="child.mp4")
    assert not tells(child, FIRST)
    reading = read(child, identity)
    assert reading.state == "trusted"
    assert reading.manifest is not None
    (item,) = reading.manifest["ingredients"]
    assert "active_manifest" not in item
    assert "left out" in item["description"]
    assert reading.generation is not None
    assert LEFT_OUT_NOTE in reading.generation["warnings"]


def test_only_records_that_tell_too_much_are_named() -> None:
    def manifest(*generations: Any) -> dict[str, Any]:
        items = [{"label": GENERATION_LABEL, "data": data} for data in generations]
        for number, item in enumerate(items[1:], 1):
            item["instance"] = number
        return {"assertions": [{"label": "c2pa.actions.v2", "data": {"prompt": {"prompt": "x"}}}, *items]}

    full, proof, silent = {"policy": "full", "prompt": "x"}, {"prompt_hmac_sha256": "00"}, {"policy": "none"}
    store = {
        "manifests": {"urn:a": manifest({"prompt": full}, {"prompt": proof}), "urn:b": manifest({"prompt": silent})}
    }
    place = f"self#jumbf=/c2pa/urn:a/c2pa.assertions/{GENERATION_LABEL}"
    assert to_redact(store, FULL) == []
    assert to_redact(store, HASH) == [place]
    assert to_redact(store, NONE) == [place, f"{place}__1"]


def test_what_a_record_holds_counts_and_not_what_it_calls_itself() -> None:
    lying = {"prompt": {"policy": "none", "prompt": "all of it"}}
    assert tells_more(lying, NONE)
    assert tells_more(lying, HASH)
    assert tells_more({"prompt": "all of it"}, HASH)
    assert not tells_more({"prompt": {"policy": "full"}}, NONE)
    assert not tells_more({}, NONE)


@pytest.mark.parametrize("suffix", [".mov", ".gif", ".webp", ".png", ".jpg", ".webm"])
def test_no_export_tells_the_prompt_of_the_clip_it_was_made_from(suffix: str, studio: Studio, tmp_path: Path) -> None:
    settings = studio.settings
    studio.settings = settings.model_copy(update={"prompt_policy": FULL})
    asset = studio.generate(GenerationRequest(model="scripted-moving", seed=3, prompt=FIRST)).asset
    assert tells(asset.path, FIRST)
    studio.settings = settings.model_copy(update={"prompt_policy": NONE})
    exported = studio.export(asset.id, tmp_path / f"shown{suffix}")
    verification = studio.verify(exported.path)
    assert verification.c2pa.state == "trusted"
    assert verification.c2pa.generation is not None
    assert REDACTED_NOTE in verification.c2pa.generation["warnings"]
    written = [path for path in (exported.path, exported.sidecar) if path is not None]
    assert not any(tells(path, FIRST) for path in written)


@pytest.mark.parametrize("policy", [FULL, NONE])
@pytest.mark.parametrize("record", ["whole", "of another file", "broken"])
def test_credentials_kept_beside_a_clip_go_into_what_is_made_from_it(
    record: str, policy: PromptPolicy, signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    maker = Maker(tmp_path, identity)
    beside = maker.sample("beside", made(FULL, FIRST), ".webm")
    other = maker.sample("other", made(FULL, FIRST), ".mkv")
    stores = {"whole": beside.store, "of another file": other.store, "broken": b"\0" * 50}
    sidecar_of(beside.path).write_bytes(stores[record] or b"")
    child = signed_file(made(policy, "", beside.path), name="child.mp4")
    reading = read(child, identity)
    assert reading.state == "trusted"
    expected = {"whole": "trusted", "of another file": "invalid", "broken": "absent"}
    assert [item.state for item in reading.ingredients] == [expected[record]]
    assert tells(child, FIRST) == (policy is FULL and record != "broken")
    assert agreed(child, identity)
