"""The signing identity is made once, is private, and fails with a sentence."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtensionOID

from studio.errors import EnvironmentFault, StoreFault
from studio.provenance import safekeeping
from studio.provenance.certificates import DamagedIdentity, SigningIdentity, load_or_create, rotate, watermark_key
from studio.provenance.issuing import C2PA_CLAIM_SIGNING, EMAIL_PROTECTION
from tests.studio.provenance.authorities import YESTERDAY, Authority, new_key, pem


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_start_finds_the_same_identity(tmp_path: Path) -> None:
    assert load_or_create(tmp_path / "id") == load_or_create(tmp_path / "id")
    assert watermark_key(tmp_path / "id") == watermark_key(tmp_path / "id")
    assert len(watermark_key(tmp_path / "id")) == 32


def test_two_installs_share_nothing(tmp_path: Path) -> None:
    assert load_or_create(tmp_path / "a").fingerprint != load_or_create(tmp_path / "b").fingerprint
    assert watermark_key(tmp_path / "a") != watermark_key(tmp_path / "b")


def test_everything_is_private_and_the_roots_key_is_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "id"
    identity = load_or_create(folder)
    watermark_key(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"chain.pem", "key.pem", "root.pem", "key.bin"}
    assert {mode(path) for path in files} == {0o600}
    assert {mode(path) for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]} == {0o700}
    root = x509.load_pem_x509_certificate(identity.anchors_pem)
    keys = [load_pem_private_key(path.read_bytes(), None) for path in files if b"PRIVATE" in path.read_bytes()]
    assert len(keys) == 1
    assert keys[0].public_key() != root.public_key()


def test_a_key_that_others_could_read_is_made_private_again(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    key = tmp_path / "current" / "key.pem"
    key.chmod(0o644)
    load_or_create(tmp_path)
    assert mode(key) == 0o600


def test_the_leaf_has_the_profile_that_any_validator_accepts(identity: SigningIdentity) -> None:
    (leaf,) = x509.load_pem_x509_certificates(identity.chain_pem)
    root = x509.load_pem_x509_certificate(identity.anchors_pem)
    leaf.verify_directly_issued_by(root)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.content_commitment
    assert {purpose.dotted_string for purpose in purposes} == {C2PA_CLAIM_SIGNING, EMAIL_PROTECTION}
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    for oid in (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.SUBJECT_KEY_IDENTIFIER):
        leaf.extensions.get_extension_for_oid(oid)
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert timedelta(days=365 * 15) <= life < root.not_valid_after_utc - root.not_valid_before_utc


def test_the_certificate_names_no_person_and_no_computer(identity: SigningIdentity) -> None:
    leaf = x509.load_pem_x509_certificate(identity.chain_pem)
    studio = "O=Local Video Studio"
    assert leaf.subject.rfc4514_string() == f"CN=Local Video Studio (this computer),{studio}"
    assert re.fullmatch(rf"CN=Local Video Studio root [0-9a-f]{{8}},{studio}", leaf.issuer.rfc4514_string())


def test_the_key_is_never_in_a_log(identity: SigningIdentity) -> None:
    assert "PRIVATE" not in repr(identity)
    assert identity.fingerprint in repr(identity)


def test_two_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from studio.provenance.certificates import *;"
        "sys.stdin.read(1);"
        "print(load_or_create(Path(sys.argv[1])).fingerprint, watermark_key(Path(sys.argv[1])).hex())"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "id")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in starts:  # both are waiting at the same line
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    answers = {process.communicate(timeout=60)[0].strip() for process in starts}
    assert len(answers) == 1
    assert len(answers.pop().split()) == 2
    assert sorted(path.name for path in (tmp_path / "id").iterdir()) == ["current", "watermark"]


@pytest.mark.parametrize("name", ["chain.pem", "key.pem", "root.pem"])
@pytest.mark.parametrize("content", [b"", b"garbage\xff\x00", None])
def test_a_damaged_file_gives_a_sentence_with_a_fix(tmp_path: Path, name: str, content: bytes | None) -> None:
    load_or_create(tmp_path)
    path = tmp_path / "current" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DamagedIdentity, match="mv '") as caught:
        load_or_create(tmp_path)
    assert isinstance(caught.value, EnvironmentFault)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path / "a")
    load_or_create(tmp_path / "b")
    foreign = (tmp_path / "b" / "current" / "key.pem").read_bytes()
    (tmp_path / "a" / "current" / "key.pem").write_bytes(foreign)
    with pytest.raises(DamagedIdentity):
        load_or_create(tmp_path / "a")


def test_a_short_watermark_key_is_refused(tmp_path: Path) -> None:
    watermark_key(tmp_path)
    (tmp_path / "watermark" / "key.bin").write_bytes(b"short")
    with pytest.raises(DamagedIdentity, match="wrong length"):
        watermark_key(tmp_path)


def test_a_rotation_makes_a_new_identity_and_keeps_the_old_ones_root(tmp_path: Path) -> None:
    old = load_or_create(tmp_path)
    new = rotate(tmp_path)
    assert new.fingerprint != old.fingerprint
    assert load_or_create(tmp_path) == new
    assert old.anchors_pem in new.anchors_pem
    assert len(x509.load_pem_x509_certificates(new.anchors_pem)) == 2
    assert len(x509.load_pem_x509_certificates(rotate(tmp_path).anchors_pem)) == 3


def test_a_rotation_destroys_the_old_key(tmp_path: Path) -> None:
    key = load_or_create(tmp_path).key_pem
    assert key is not None
    rotate(tmp_path)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.parent.name.split("-")[0] for path in kept if path.name == "key.pem") == ["current"]
    assert all(key not in path.read_bytes() for path in kept)
    assert {mode(path) for path in kept} == {0o600}


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("steps", range(11))
def test_a_crash_at_any_step_of_a_rotation_leaves_an_identity_that_works(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change of the folder is a step; the process dies after so many of them."""
    old = load_or_create(tmp_path)
    left = iter(range(steps))

    def dying(change: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(left, None) is None:
                raise Crash
            return change(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        for name in ("publish", "_retire", "_destroy"):
            patch.setattr(safekeeping, name, dying(getattr(safekeeping, name)))
        patch.setattr(safekeeping.os, "replace", dying(os.replace))
        patch.setattr(safekeeping.shutil, "rmtree", dying(shutil.rmtree))
        with suppress(Crash):
            rotate(tmp_path)
    found = load_or_create(tmp_path)
    assert old.anchors_pem in found.anchors_pem
    assert [path.parent.name for path in tmp_path.rglob("key.pem") if path.parent.name != "next"] == ["current"]
    final = rotate(tmp_path)  # and the next rotation clears up what was left
    assert old.anchors_pem in final.anchors_pem
    assert found.anchors_pem.splitlines()[1] in final.anchors_pem.splitlines()
    assert [path.parent.name for path in tmp_path.rglob("key.pem")] == ["current"]


def test_what_a_rotation_that_crashed_left_is_not_taken_for_the_new_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_or_create(tmp_path / "id")
    load_or_create(tmp_path / "draft")
    shutil.copytree(tmp_path / "draft" / safekeeping.CURRENT, tmp_path / "id" / safekeeping.NEXT)
    real = os.unlink

    def refuse(path: Any, *arguments: Any, **options: Any) -> None:
        if str(path).endswith("key.pem"):
            raise PermissionError(13, "Permission denied")
        real(path, *arguments, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StoreFault, match="cannot be written"):
        rotate(tmp_path / "id")
    monkeypatch.undo()
    assert load_or_create(tmp_path / "id").fingerprint == before.fingerprint
    assert rotate(tmp_path / "id").fingerprint != before.fingerprint


def test_processes_that_rotate_and_sign_at_once_all_end_with_a_whole_identity(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from studio.provenance.certificates import *;"
        "folder = Path(sys.argv[1]); sys.stdin.read(1);"
        "[rotate(folder) if sys.argv[2] == 'rotate' and i % 3 == 0 else load_or_create(folder) for i in range(9)];"
        "print('whole')"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "id"), work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for work in ("rotate", "rotate", "read")
    ]
    for process in starts:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    ends = [process.communicate(timeout=120) for process in starts]
    assert [end[0].strip() for end in ends] == ["whole"] * 3, ends
    assert len(list((tmp_path / "id").glob("retired-*"))) in (5, 6)  # the first may have found nothing to retire
    names = {path.name.split("-")[0] for path in (tmp_path / "id").iterdir()}
    assert names == {"current", "retired", ".lock"}


def test_an_expired_identity_says_so_and_rotation_mends_it(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    home, root, key = tmp_path / "current", Authority(), new_key()
    (home / "chain.pem").write_bytes(pem(root.issue(key, until=YESTERDAY)))
    (home / "key.pem").write_bytes(pem(key))
    (home / "root.pem").write_bytes(pem(root.certificate))
    with pytest.raises(DamagedIdentity, match="studio identity rotate"):
        load_or_create(tmp_path)
    assert pem(root.certificate) in rotate(tmp_path).anchors_pem


def test_a_damaged_identity_can_be_rotated_away(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    (tmp_path / "current" / "key.pem").write_bytes(b"garbage")
    assert rotate(tmp_path) == load_or_create(tmp_path)


def test_an_identity_put_aside_stays_trusted(tmp_path: Path) -> None:
    old = load_or_create(tmp_path)
    (tmp_path / "current").rename(tmp_path / "retired-1")
    new = load_or_create(tmp_path)
    assert new.fingerprint != old.fingerprint
    assert old.anchors_pem.strip() in new.anchors_pem
    assert len(x509.load_pem_x509_certificates(new.anchors_pem)) == 2


def test_a_folder_that_cannot_be_made_is_the_environments_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreFault):
        load_or_create(tmp_path / "file" / "id")
