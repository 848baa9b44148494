"""A time stamp is asked for only where one is configured, never holds up the sealing, and can be got later."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.errors import EnvironmentFault, SealFailed, StoreFault, VerificationFailed
from studio.export import stamping
from studio.export.gate import Gate
from studio.export.signer import sign
from studio.export.stamping import NoTimeStamp
from studio.library import admission
from studio.library.asset import Asset, file_sha256
from studio.provenance.certificates import SigningIdentity, identity_of
from studio.provenance.inspect import read_c2pa
from studio.provenance.keys import sign_with
from studio.provenance.manifest import build_manifest
from studio.provenance.signers import guarded
from studio.provenance.stamp_queue import StampQueue
from studio.provenance.timestamps import Clock, relay
from studio.provenance.trust import TrustList
from studio.request import GenerationRequest
from tests.studio.provenance.authorities import Authority, Mood, TimeAuthority, new_key, pem, time_authority
from tests.studio.provenance.conftest import MARK, PROVENANCE, run_ffmpeg

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the test's authority needs openssl")

MP4 = "video/mp4"
CLOCKS = "time stamp authorities added by the user"


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[TimeAuthority]:
    with time_authority(tmp_path / "authority") as found:
        yield found


@pytest.fixture
def stamping_studio(studio: Studio, authority: TimeAuthority, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A studio that asks this authority and trusts it."""
    root = Path(authority._folder) / "root.pem"
    studio.settings = studio.settings.model_copy(update={"timestamp_url": authority.url})
    studio.settings.create_home()
    studio.identity.update_trust("clocks", root)
    monkeypatch.setattr("studio.provenance.timestamps.DEADLINE_SECONDS", 1.0)
    for module in ("studio.provenance.timestamps", "studio.export.gate"):
        monkeypatch.setattr(
            f"{module}.clock_of", lambda settings: Clock(authority=settings.timestamp_url, deadline_seconds=1.0)
        )
    return studio


def make(studio: Studio, seed: int = 1) -> Asset:
    return studio.generate(GenerationRequest(model="scripted-moving", seed=seed)).asset


def trusted_clocks(authority: TimeAuthority) -> TrustList:
    return TrustList(name="clocks", uri=None, pem=pem(authority.root.certificate), dated=None, kind="tsa")


def signed_by(
    identity: SigningIdentity, source: Path, destination: Path, authority: TimeAuthority | None = None
) -> Path:
    clock = None if authority is None else Clock(authority=authority.url)
    manifest = build_manifest(PROVENANCE, title="x", watermark=MARK)
    sign(source, destination, mime_type=MP4, manifest=manifest, ingredients=(), identity=identity, clock=clock)
    assert clock is None or clock.missed is None
    return destination


def test_nobody_is_asked_unless_an_authority_is_configured(studio: Studio, authority: TimeAuthority) -> None:
    asset = make(studio)
    assert authority.calls == 0
    assert not studio.verify(asset.path).c2pa.time_stamp.is_present
    assert studio.identity.waiting_stamps() == []
    with pytest.raises(EnvironmentFault, match="STUDIO_TIMESTAMP_URL"):
        studio.identity.stamp()


def test_a_clip_is_sealed_with_the_authoritys_time(stamping_studio: Studio, authority: TimeAuthority) -> None:
    asset = make(stamping_studio)
    reading = stamping_studio.verify(asset.path).c2pa
    stamp = reading.time_stamp
    assert (reading.state, stamp.is_present, stamp.is_trusted, stamp.trust_list) == ("trusted", True, True, CLOCKS)
    assert stamp.authority == "A Signer"
    assert stamp.time is not None
    assert stamp.time.startswith(f"{asset.created_at:%Y-%m-%d}")
    assert authority.calls == 1
    assert stamping_studio.identity.waiting_stamps() == []


def test_the_time_of_an_authority_nobody_knows_is_not_called_trusted(
    stamping_studio: Studio, authority: TimeAuthority
) -> None:
    asset = make(stamping_studio)
    stamping_studio.identity.reset_trust("clocks")
    reading = stamping_studio.verify(asset.path).c2pa
    assert reading.state == "trusted"
    assert reading.time_stamp.is_present
    assert reading.time_stamp.is_trusted is False
    assert reading.time_stamp.trust_list is None


def test_an_authority_trusted_for_signers_is_not_one_for_the_time(
    stamping_studio: Studio, authority: TimeAuthority
) -> None:
    asset = make(stamping_studio)
    root = stamping_studio.settings.home / "trust" / "clocks.pem"
    stamping_studio.identity.update_trust("signers", root)
    stamping_studio.identity.reset_trust("clocks")
    assert stamping_studio.verify(asset.path).c2pa.time_stamp.is_trusted is False


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("is broken", "HTTP status 500"),
        ("hangs", "did not answer within 1 seconds"),
        ("drips", "did not answer within 1 seconds"),
        ("talks nonsense", "could not be used"),
        ("redirects", "HTTP status 307"),
    ],
)
def test_an_authority_that_fails_does_not_hold_up_the_sealing(
    mood: Mood, words: str, stamping_studio: Studio, authority: TimeAuthority
) -> None:
    authority.mood = mood
    started = time.monotonic()
    asset = make(stamping_studio)
    assert time.monotonic() - started < 10
    assert stamping_studio.verify(asset.path).c2pa.state == "trusted"
    (waiting,) = stamping_studio.identity.waiting_stamps()
    assert waiting.asset_id == asset.id
    assert words in waiting.reason
    (outcome,) = stamping_studio.identity.stamp()
    assert isinstance(outcome.error, NoTimeStamp)
    assert stamping_studio.identity.waiting_stamps()[0].attempts == 2
    assert stamping_studio.store.asset(asset.id).sha256 == asset.sha256


def test_what_is_removed_leaves_nothing_that_waits(stamping_studio: Studio, authority: TimeAuthority) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    queue = StampQueue(stamping_studio.settings)
    queue.keep_before(asset.id, asset.path)
    stamping_studio.remove(asset.id)
    assert queue.get(asset.id) is None
    assert not queue.before(asset.id).exists()
    stamping_studio.identity._stamp(asset)  # a process that had begun before
    assert queue.get(asset.id) is None


def test_a_clip_given_up_before_it_was_sealed_waits_for_no_time(
    stamping_studio: Studio, authority: TimeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.mood = "is broken"
    monkeypatch.setattr("studio.export.gate.admit", lambda *_, **__: (_ for _ in ()).throw(OSError("disk gone")))
    with pytest.raises(SealFailed):
        make(stamping_studio)
    queue = StampQueue(stamping_studio.settings)
    (job_id,) = stamping_studio.waiting()
    assert queue.get(job_id) is not None
    stamping_studio.discard(job_id)
    assert queue.get(job_id) is None


def test_a_clip_that_is_removed_while_it_is_stamped_is_not_found_in_the_end(
    stamping_studio: Studio, authority: TimeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    authority.mood = "answers"
    real = stamping.add_time_stamp

    def slow(*arguments: Any) -> bytes:
        stamped = real(*arguments)
        stamping_studio.store.forget_asset(asset.id)
        return stamped

    monkeypatch.setattr("studio.export.gate.add_time_stamp", slow)
    (outcome,) = stamping_studio.identity.stamp()
    assert isinstance(outcome.error, StoreFault)
    assert "changed or removed in the meantime" in outcome.error.message
    assert not StampQueue(stamping_studio.settings).before(asset.id).exists()


def test_nobody_listening_is_a_reason_too(stamping_studio: Studio) -> None:
    stamping_studio.settings = stamping_studio.settings.model_copy(update={"timestamp_url": "http://127.0.0.1:1/"})
    make(stamping_studio)
    (waiting,) = StampQueue(stamping_studio.settings)
    assert "cannot be reached" in waiting.reason


def test_a_missing_time_stamp_is_got_later_and_changes_nothing_else(
    stamping_studio: Studio, authority: TimeAuthority
) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    before = stamping_studio.verify(asset.path)
    authority.mood = "answers"
    (outcome,) = stamping_studio.identity.stamp()
    assert outcome.asset is not None
    after = stamping_studio.verify(outcome.asset.path)
    assert (after.c2pa.state, after.reason) == ("trusted", None)
    assert after.c2pa.time_stamp.is_trusted
    assert after.c2pa.trust_list == "this studio"
    assert after.c2pa.generation == before.c2pa.generation
    assert after.c2pa.actions == before.c2pa.actions
    assert after.c2pa.ingredients == before.c2pa.ingredients
    assert after.asset is not None
    assert after.asset.id == asset.id
    renewed = stamping_studio.store.asset(asset.id)
    assert renewed.sha256 == outcome.asset.sha256 != asset.sha256
    assert renewed.size_bytes == asset.path.stat().st_size
    assert stamping_studio.identity.waiting_stamps() == []
    assert [path.name for path in (stamping_studio.settings.home / "timestamps").iterdir()] == [".lock"]


def test_a_copy_made_before_a_later_time_stamp_stays_what_it_was(
    stamping_studio: Studio, authority: TimeAuthority, tmp_path: Path
) -> None:
    authority.mood = "is broken"
    outcome = stamping_studio.generate(GenerationRequest(model="scripted-moving", seed=3), output=tmp_path / "copy.mp4")
    assert "time stamp: there is none" in " ".join(outcome.notices)
    authority.mood = "answers"
    stamping_studio.identity.stamp()
    verification = stamping_studio.verify(tmp_path / "copy.mp4")
    assert verification.c2pa.state == "trusted"
    assert verification.conclusion.word == "intact"


def test_an_independent_verifier_accepts_a_later_time_stamp(
    stamping_studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    oracle = pytest.importorskip("encypher_c2pa")
    settings = stamping_studio.settings
    stamping_studio.settings = settings.model_copy(update={"timestamp_url": None})
    asset = make(stamping_studio)
    stamping_studio.settings = settings
    stamping_studio.__dict__.pop("identity")
    (outcome,) = stamping_studio.identity.stamp([asset.id])
    assert outcome.asset is not None
    roots = (settings.identity_folder / "current" / "root.pem").read_text()
    options = {"no_default_trust": True, "trust_pem": roots, "telemetry": False, "online": False}
    found = oracle.verify(str(outcome.asset.path), MP4, **options)
    assert (found["integrity"], found["signature"], found["hard_binding"]) == ("valid", "valid", "match")


@pytest.mark.parametrize("place", ["mdat", "moov", "first record", "second record", "end cut off"])
def test_a_change_after_a_later_time_stamp_is_noticed(
    place: str, stamping_studio: Studio, authority: TimeAuthority, tmp_path: Path
) -> None:
    authority.mood = "is broken"
    make(stamping_studio)
    authority.mood = "answers"
    (outcome,) = stamping_studio.identity.stamp()
    assert outcome.asset is not None
    content = bytearray(outcome.asset.path.read_bytes())
    marks = {"mdat": b"mdat", "moov": b"mvhd", "first record": b"claim_generator_info"}
    if place == "end cut off":
        del content[-4000:]
    else:
        at = content.rfind(b"c2pa.time-stamp") + 40 if place == "second record" else content.find(marks[place]) + 30
        content[at] ^= 1
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(content)
    assert not stamping_studio.verify(changed).is_intact


def test_a_file_that_was_changed_gets_no_time_stamp(stamping_studio: Studio, authority: TimeAuthority) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    authority.mood = "answers"
    content = bytearray(asset.path.read_bytes())
    content[-10] ^= 1
    asset.path.write_bytes(content)
    calls = authority.calls
    (outcome,) = stamping_studio.identity.stamp()
    assert isinstance(outcome.error, VerificationFailed)
    assert authority.calls == calls
    assert asset.path.read_bytes() == content


def test_one_that_has_its_time_stamp_is_left_alone(stamping_studio: Studio, authority: TimeAuthority) -> None:
    asset = make(stamping_studio)
    (outcome,) = stamping_studio.identity.stamp([asset.id])
    assert outcome.asset is not None
    assert outcome.asset.sha256 == asset.sha256
    assert authority.calls == 1


def test_a_crash_between_file_and_row_is_undone_at_the_next_attempt(
    stamping_studio: Studio, authority: TimeAuthority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process dies after the new file is in place and before its row is written."""
    authority.mood = "is broken"
    asset = make(stamping_studio)
    authority.mood = "answers"

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("studio.library.shelf.sync_folder", die)
        patch.setattr(admission, "undo_half_replacement", lambda *_: None)  # the dead undo nothing
        patch.setattr("studio.export.gate.undo_half_replacement", lambda *_: None)
        with pytest.raises(SystemExit):
            Gate(stamping_studio.settings, stamping_studio.store).stamp(asset, tmp_path / "work")
    assert file_sha256(asset.path) != stamping_studio.store.asset(asset.id).sha256
    (outcome,) = stamping_studio.identity.stamp()
    assert outcome.asset is not None
    assert stamping_studio.verify(asset.path).c2pa.state == "trusted"
    assert stamping_studio.store.asset(asset.id).sha256 == outcome.asset.sha256


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_file_in_a_folder_that_machines_share_is_replaced_by_another_one(
    kind: str, stamping_studio: Studio, authority: TimeAuthority, tmp_path: Path
) -> None:
    url = (tmp_path / "share").as_uri() if kind == "file" else f"memory://{tmp_path.name}"
    settings = stamping_studio.settings.model_copy(update={"assets_url": url})
    studio = Studio(settings)
    studio.__dict__["registry"] = stamping_studio.registry
    authority.mood = "is broken"
    asset = make(studio)
    authority.mood = "answers"
    (outcome,) = studio.identity.stamp()
    assert outcome.asset is not None
    assert outcome.asset.name != asset.name
    assert studio.verify(outcome.asset.path).c2pa.time_stamp.is_present
    assert not asset.is_there
    assert [name for name, _, _ in studio.store.shelf.files()] == [outcome.asset.name]
    studio.store.close()


def test_a_failure_of_the_database_leaves_the_file_as_it_was(
    stamping_studio: Studio, authority: TimeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    authority.mood = "answers"

    def fail(*_: object) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(admission, "asset_of_row", fail)
        (outcome,) = stamping_studio.identity.stamp()
    assert outcome.error is not None
    assert stamping_studio.verify(asset.path).c2pa.state == "trusted"
    assert stamping_studio.store.asset(asset.id).sha256 == asset.sha256


def test_a_clip_of_a_retired_identity_is_stamped_by_the_present_one(
    stamping_studio: Studio, authority: TimeAuthority
) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    authority.mood = "answers"
    stamping_studio.identity.rotate()
    (outcome,) = stamping_studio.identity.stamp()
    assert outcome.asset is not None
    found = stamping_studio.verify(asset.path)
    assert (found.c2pa.state, found.reason) == ("trusted", None)
    assert found.c2pa.time_stamp.is_trusted
    assert (found.c2pa.generation or {})["job_id"] == asset.job_id


def test_a_stamped_clip_that_lost_its_record_is_still_found_in_the_library(
    stamping_studio: Studio, authority: TimeAuthority, tmp_path: Path
) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    authority.mood = "answers"
    stamping_studio.identity.stamp()
    run_ffmpeg("-i", str(asset.path), "-c", "copy", str(tmp_path / "stripped.mp4"))
    found = stamping_studio.verify(tmp_path / "stripped.mp4")
    assert found.c2pa.state == "absent"
    assert found.asset is not None
    assert found.asset.id == asset.id


def test_a_stamped_clip_goes_into_other_files_like_any_other(
    stamping_studio: Studio, authority: TimeAuthority, tmp_path: Path
) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    authority.mood = "answers"
    stamping_studio.identity.stamp()
    stamping_studio.export(asset.id, tmp_path / "small.gif")
    found = stamping_studio.verify(tmp_path / "small.gif")
    assert (found.c2pa.state, found.reason) == ("trusted", None)
    assert [item.state for item in found.c2pa.ingredients] == ["trusted"]


def test_two_that_stamp_the_same_clip_at_once_agree(stamping_studio: Studio, authority: TimeAuthority) -> None:
    authority.mood = "is broken"
    asset = make(stamping_studio)
    authority.mood, authority.calls = "answers", 0
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: stamping_studio.identity.stamp([asset.id])[0], range(2))
    assert first.error is second.error is None
    assert first.asset is not None
    assert second.asset is not None
    assert first.asset.sha256 == second.asset.sha256 == file_sha256(asset.path)
    assert authority.calls == 2  # one for the clip's own signature and one for the stamp's


def test_the_queue_survives_rubbish_in_its_folder(stamping_studio: Studio) -> None:
    queue = StampQueue(stamping_studio.settings)
    queue.add("20260101-000000-aaaaaaaa", "it was away")
    folder = stamping_studio.settings.home / "timestamps"
    (folder / "broken.json").write_text("{")
    (folder / "odd name!.json").write_text("{}")
    assert [item.asset_id for item in queue] == ["20260101-000000-aaaaaaaa"]
    assert stamping_studio.identity.waiting_stamps() == []  # it is no asset of this library
    with pytest.raises(ValueError, match="no asset's id"):
        queue.get("../../etc/passwd")


def short_lived(root: Authority, folder: Path, lifetime: timedelta) -> SigningIdentity:
    key = new_key()
    chain = pem(root.issue(key, until=lifetime))
    return identity_of(chain, folder, key_pem=pem(key))


def test_a_time_stamp_outlives_the_certificate(authority: TimeAuthority, unsigned: Path, tmp_path: Path) -> None:
    root = Authority()
    own = TrustList(name="own", uri=None, pem=pem(root.certificate), dated=None)
    identity = short_lived(root, tmp_path / "id", timedelta(seconds=4))
    plain = signed_by(identity, unsigned, tmp_path / "plain.mp4")
    stamped = signed_by(identity, unsigned, tmp_path / "stamped.mp4", authority)
    lists = [own, trusted_clocks(authority)]
    assert {read_c2pa(path, lists=lists).state for path in (plain, stamped)} == {"trusted"}
    time.sleep(max(0.0, (identity.leaf.not_valid_after_utc.timestamp() - time.time()) + 1.5))
    expired = read_c2pa(plain, lists=lists)
    assert expired.state == "invalid"
    assert "signingCredential.expired" in expired.codes
    assert read_c2pa(stamped, lists=lists).state == "trusted"
    assert read_c2pa(stamped, lists=[own]).state == "invalid"  # an authority that nobody knows proves nothing


def test_a_signature_by_a_key_elsewhere_gets_its_time_too(
    authority: TimeAuthority, unsigned: Path, tmp_path: Path
) -> None:
    root, key = Authority(), new_key()

    class Elsewhere:
        def sign(self, data: bytes) -> bytes:
            return sign_with(key, data)

    identity = guarded(identity_of(pem(root.issue(key)), tmp_path / "id", key_pem=None), Elsewhere(), 20)
    path = signed_by(identity, unsigned, tmp_path / "signed.mp4", authority)
    own = TrustList(name="own", uri=None, pem=pem(root.certificate), dated=None)
    reading = read_c2pa(path, lists=[own, trusted_clocks(authority)])
    assert (reading.state, reading.time_stamp.is_trusted) == ("trusted", True)


def test_the_relay_passes_on_for_its_own_question_only(authority: TimeAuthority) -> None:
    import urllib.error
    import urllib.request

    with relay(authority.url) as line:
        wrong = line.url.rsplit("/", 1)[0] + "/guess"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(wrong, data=b"x"))
        caught.value.close()
    assert authority.calls == 0
    assert not line.was_asked
