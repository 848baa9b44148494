"""A signed file is trusted at home, valid elsewhere, and says so when a single byte was changed."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.config import PromptPolicy
from studio.errors import DiskFull, SealFailed
from studio.export.signer import sign
from studio.provenance.certificates import SigningIdentity, load_or_create
from studio.provenance.inspect import read_c2pa
from studio.provenance.manifest import Ingredient, Origin, build_manifest
from studio.provenance.trust import identity_list, offline_settings
from tests.studio.provenance.conftest import (
    MARK,
    PROMPT,
    PROVENANCE,
    SignedFile,
    counting_server,
    provenance_of,
    run_ffmpeg,
)

MP4 = "video/mp4"


@pytest.mark.parametrize("origin", list(Origin))
def test_every_origin_is_trusted_at_home_and_valid_elsewhere(
    origin: Origin, signed_file: SignedFile, identity: SigningIdentity, stranger: SigningIdentity
) -> None:
    parent = signed_file(name="parent.mp4")
    path = signed_file(provenance_of(origin, parent=parent))
    home = read_c2pa(path, lists=[identity_list(identity)])
    assert (home.state, home.problem) == ("trusted", None)
    assert home.generator == "Local Video Studio 0.1.0"
    assert home.issuer == "Local Video Studio"
    assert home.generation is not None
    assert home.generation["job_id"] == "job-1"
    assert home.generation["seed"] == str(2**63 - 1)
    assert all(item.state == "trusted" for item in home.ingredients)
    for lists in ([identity_list(stranger)], []):
        elsewhere = read_c2pa(path, lists=lists)
        assert elsewhere.state == "valid"
        assert "signingCredential.untrusted" in elsewhere.codes
        assert elsewhere.problem == "intact, but the signer is not one this studio knows"


@pytest.mark.parametrize("origin", list(Origin))
def test_an_independent_verifier_agrees(
    origin: Origin, signed_file: SignedFile, identity: SigningIdentity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    oracle = pytest.importorskip("encypher_c2pa")
    path = signed_file(provenance_of(origin, parent=signed_file(name="parent.mp4")))
    options: dict[str, Any] = {
        "no_default_trust": True,
        "trust_pem": identity.anchors_pem.decode(),
        "telemetry": False,
        "online": False,
    }
    good = oracle.verify(str(path), MP4, **options)
    assert (good["integrity"], good["signature"], good["hard_binding"]) == ("valid", "valid", "match")
    assert good["validation_state"] == "Trusted"
    path.write_bytes(_flip(path.read_bytes(), -10))
    bad = oracle.verify(str(path), MP4, **options)
    assert (bad["integrity"], bad["hard_binding"]) == ("invalid", "mismatch")


ANY_TEXT = st.text(st.characters(codec=None), max_size=60) | st.sampled_from(["\ud800", "\x00", "\u202e", "𝄞" * 400])
ANY_VALUE = st.booleans() | st.integers() | st.floats() | ANY_TEXT


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(ANY_TEXT, min_size=6, max_size=6), options=st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=4))
def test_whatever_users_and_providers_write_can_be_signed_and_read(
    texts: list[str], options: dict[str, Any], unsigned: Path, identity: SigningIdentity
) -> None:
    provenance = replace(
        PROVENANCE,
        prompt_policy=PromptPolicy.FULL,
        prompt=texts[0],
        negative_prompt=texts[1],
        model_name=texts[2] or "a model",
        provider=texts[3] or None,
        provider_job_id=texts[4],
        warnings=(texts[5],),
        options=options,
        checks=(("flicker", None, float("nan")),),
        seed=2**80,
    )
    path = unsigned.with_name("written.mp4")
    manifest = build_manifest(provenance, title=texts[5], watermark=None)
    sign(unsigned, path, mime_type=MP4, manifest=manifest, ingredients=(), identity=identity)
    reading = read_c2pa(path, lists=[identity_list(identity)])
    assert (reading.state, reading.problem) == ("trusted", None)


def test_the_source_is_untouched_and_the_store_is_returned(
    unsigned: Path, signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    before = unsigned.read_bytes()
    manifest = build_manifest(PROVENANCE, title="x.mp4", watermark=MARK)
    store = sign(unsigned, tmp_path / "x.mp4", mime_type=MP4, manifest=manifest, ingredients=(), identity=identity)
    assert unsigned.read_bytes() == before
    assert store in (tmp_path / "x.mp4").read_bytes()


def test_a_thumbnail_travels_with_the_file(signed_file: SignedFile, identity: SigningIdentity) -> None:
    import cv2

    picture = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    path = signed_file(thumbnail_jpeg=picture)
    reading = read_c2pa(path, lists=[identity_list(identity)])
    assert reading.manifest is not None
    assert reading.manifest["thumbnail"]["format"] == "image/jpeg"
    assert picture in path.read_bytes()


@pytest.mark.parametrize("policy", list(PromptPolicy))
def test_the_prompt_is_in_the_file_only_if_it_may_be(policy: PromptPolicy, signed_file: SignedFile) -> None:
    content = signed_file(replace(PROVENANCE, prompt_policy=policy)).read_bytes()
    for text in (PROMPT, "zebra", "stripes"):
        assert (text.encode() in content) == (policy is PromptPolicy.FULL)


def _flip(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: _flip(content, -10), "picture or sound data was changed"),
        (lambda content: _flip(content, content.rfind(b"mdat") + 40), "picture or sound data was changed"),
        (lambda content: _flip(content, content.find(b"mvhd") + 20), "picture or sound data was changed"),
        (lambda content: content[:-50], "picture or sound data was changed"),
        (lambda content: content + b"\x00\x00\x00\x0amore\x00\x00", "picture or sound data was changed"),
        (lambda content: content.replace(b"Micro Wan", b"Macro Wan"), "record attached to the file was changed"),
    ],
    ids=["last bytes", "mdat", "moov", "truncated", "appended", "record"],
)
def test_a_changed_file_is_invalid_and_the_reason_is_named(
    change: Any, words: str, signed_file: SignedFile, identity: SigningIdentity
) -> None:
    path = signed_file()
    path.write_bytes(change(path.read_bytes()))
    reading = read_c2pa(path, lists=[identity_list(identity)])
    assert reading.state == "invalid"
    assert words in (reading.problem or "")


def test_a_remuxed_file_has_lost_its_record(signed_file: SignedFile, tmp_path: Path) -> None:
    for name in ("remuxed.mp4", "remuxed.mov"):
        run_ffmpeg("-i", str(signed_file()), "-c", "copy", str(tmp_path / name))
        reading = read_c2pa(tmp_path / name)
        assert (reading.state, reading.codes) == ("absent", ())
        assert "no Content Credentials" in (reading.problem or "")


def test_a_broken_ingredient_is_named_although_the_file_is_intact(
    signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path, unsigned: Path
) -> None:
    tampered = tmp_path / "tampered.mp4"
    tampered.write_bytes(_flip(signed_file().read_bytes(), -10))
    files = {"bad": tampered, "plain": unsigned}
    ingredients = tuple(
        Ingredient(path=path, title=title, mime_type=MP4, relationship="inputTo") for title, path in files.items()
    )
    path = signed_file(replace(PROVENANCE, origin=Origin.CONDITIONED_VIDEO, ingredients=ingredients), name="new.mp4")
    reading = read_c2pa(path, lists=[identity_list(identity)])
    assert [(item.title, item.state) for item in reading.ingredients] == [("bad", "invalid"), ("plain", "absent")]
    assert reading.state == "trusted"
    assert "ingredient:assertion.bmffHash.mismatch" in reading.codes
    assert "not its ingredient bad" in (reading.problem or "")


@pytest.mark.parametrize(
    ("suffix", "mime_type"),
    [
        (".mov", "video/quicktime"),
        (".gif", "image/gif"),
        (".webp", "image/webp"),
        (".png", "image/png"),
        (".jpg", "image/jpeg"),
        (".wav", "audio/wav"),
    ],
)
def test_other_formats_are_signed_and_recognised_by_content(
    suffix: str, mime_type: str, signed_file: SignedFile, identity: SigningIdentity, unsigned: Path, tmp_path: Path
) -> None:
    raw = tmp_path / f"raw{suffix}"
    if suffix == ".wav":
        run_ffmpeg("-f", "lavfi", "-i", "sine=duration=0.1", str(raw))
    elif suffix in (".png", ".jpg", ".webp"):
        _write_picture(raw)
    else:
        run_ffmpeg("-i", str(unsigned), str(raw))
    path = signed_file(source=raw, mime_type=mime_type, name="file.without-a-telling-name")
    reading = read_c2pa(path, lists=[identity_list(identity)])
    assert (reading.state, reading.problem) == ("trusted", None)


def _write_picture(path: Path) -> None:
    import cv2

    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert cv2.imwrite(str(path), picture)


def test_a_file_is_never_signed_in_place(unsigned: Path, identity: SigningIdentity, tmp_path: Path) -> None:
    path, link = tmp_path / "clip.mp4", tmp_path / "link.mp4"
    shutil.copy(unsigned, path)
    os.link(path, link)
    for destination in (path, link):
        with pytest.raises(SealFailed, match="in place"):
            sign(path, destination, mime_type=MP4, manifest={}, ingredients=(), identity=identity)
    assert path.read_bytes() == unsigned.read_bytes()


@pytest.mark.parametrize("fault", ["not media", "unknown type", "bad manifest", "key of another", "missing ingredient"])
def test_a_failure_is_one_sentence_and_leaves_nothing(
    fault: str, unsigned: Path, identity: SigningIdentity, stranger: SigningIdentity, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("hello")
    missing = Ingredient(path=tmp_path / "gone.png", title="gone", mime_type="image/png", relationship="inputTo")
    manifest = (
        {"claim_version": "?"} if fault == "bad manifest" else build_manifest(PROVENANCE, title="x", watermark=None)
    )
    with pytest.raises(SealFailed) as caught:
        sign(
            text if fault == "not media" else unsigned,
            tmp_path / "out.mp4",
            mime_type="video/webm" if fault == "unknown type" else MP4,
            manifest=manifest,
            ingredients=(missing,) if fault == "missing ingredient" else (),
            identity=replace(identity, key_pem=stranger.key_pem) if fault == "key of another" else identity,
        )
    assert "\n" not in caught.value.sentence()
    assert not (tmp_path / "out.mp4").exists()


def test_a_file_that_cannot_be_written_to_the_end_is_removed(
    unsigned: Path, identity: SigningIdentity, tmp_path: Path
) -> None:
    manifest = build_manifest(PROVENANCE, title="x", watermark=None)
    with _largest_file(unsigned.stat().st_size // 2), pytest.raises(DiskFull):
        sign(unsigned, tmp_path / "out.mp4", mime_type=MP4, manifest=manifest, ingredients=(), identity=identity)
    assert not (tmp_path / "out.mp4").exists()


@contextmanager
def _largest_file(size_bytes: int) -> Iterator[None]:
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("kind", ["mislabelled", "damaged", "webm"])
def test_an_odd_ingredient_does_not_stop_the_sealing(
    kind: str, signed_file: SignedFile, identity: SigningIdentity, unsigned: Path, tmp_path: Path
) -> None:
    path = tmp_path / "odd.png"
    if kind == "mislabelled":
        _write_picture(tmp_path / "odd.jpg")
        shutil.move(tmp_path / "odd.jpg", path)
    elif kind == "damaged":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"junk" * 50)
    else:
        path.write_bytes(b"\x1aE\xdf\xa3" + b"\x00" * 100)
    made = signed_file(provenance_of(Origin.CONDITIONED_VIDEO, parent=path, mime_type="image/png"))
    reading = read_c2pa(made, lists=[identity_list(identity)])
    assert (reading.state, reading.problem) == ("trusted", None)
    assert [item.state for item in reading.ingredients] == ["absent"]


def _with_remote_manifest(source: Path, destination: Path, url: str, identity: SigningIdentity) -> None:
    from c2pa import Builder, C2paSignerInfo, Context, Settings, Signer

    context = Context(Settings.from_dict(offline_settings([identity_list(identity)])))
    builder = Builder(build_manifest(PROVENANCE, title="x", watermark=None), context)
    builder.set_no_embed()
    builder.set_remote_url(url)
    signer = Signer.from_info(C2paSignerInfo(b"es256", identity.chain_pem, identity.key_pem, None))
    with source.open("rb") as raw, destination.open("w+b") as out:
        builder.sign(signer, MP4, raw, out)


def test_nobody_is_called_when_a_file_points_to_a_server(
    unsigned: Path, signed_file: SignedFile, identity: SigningIdentity, tmp_path: Path
) -> None:
    from c2pa import Reader

    remote = tmp_path / "remote.mp4"
    with counting_server() as (url, calls):
        _with_remote_manifest(unsigned, remote, f"{url}/manifest.c2pa", identity)
        reading = read_c2pa(remote, lists=[identity_list(identity)])
        made = signed_file(provenance_of(Origin.CONDITIONED_VIDEO, parent=remote))
        assert read_c2pa(made, lists=[identity_list(identity)]).ingredients[0].state == "absent"
        assert calls == []
        with pytest.raises(Exception, match="fetch"), remote.open("rb") as file:
            Reader(MP4, file)  # the library's own way does call: the trap works
        assert calls == [1]
    assert reading.state == "absent"
    assert "kept on a server" in (reading.problem or "")


def test_files_of_a_retired_identity_stay_trusted(unsigned: Path, signed_file: SignedFile, tmp_path: Path) -> None:
    folder = tmp_path / "id"
    path = signed_file(by=load_or_create(folder))
    (folder / "current").rename(folder / "retired-1")
    assert read_c2pa(path, lists=[identity_list(load_or_create(folder))]).state == "trusted"
