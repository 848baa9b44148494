"""A key that the studio never sees signs clips, through a plug-in or a program, and its failures are told."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from studio.app import Studio
from studio.errors import EnvironmentFault
from studio.jobs.states import JobState
from studio.provenance.certificates import SigningIdentity, identity_of
from studio.provenance.signers import ENTRY_POINT_GROUP, CommandSigner, SignerFailed, active_identity, guarded
from studio.provenance.trust import OWN_LIST
from studio.request import GenerationRequest
from tests.studio.provenance.authorities import Authority, new_key, pem

SIGNING_PROGRAM = """
    import sys
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    key = load_pem_private_key(open(sys.argv[1], "rb").read(), None)
    sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256())))
"""

PLUG_IN = """
    from pathlib import Path
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    HERE = Path(__file__).parent
    class Module:
        chain_pem = (HERE / "chain.pem").read_bytes()
        def sign(self, data):
            key = load_pem_private_key((HERE / "hidden.pem").read_bytes(), None)
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
    class Locked(Module):
        def sign(self, data):
            raise RuntimeError("the module is locked")
    class Chainless:
        def sign(self, data):
            return b""
    def broken():
        raise OSError("no module in the slot")
"""


class Elsewhere:
    """A chain, and its key where the studio does not look. command: a program that signs with it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, root, key = folder, Authority(), new_key()
        self.chain, self.root, self.key = folder / "chain.pem", folder / "root.pem", folder / "hidden.pem"
        for path, content in ((self.chain, root.issue(key)), (self.root, root.certificate), (self.key, key)):
            path.write_bytes(pem(content))
        self.command = f"{sys.executable} {self.program(SIGNING_PROGRAM)} {self.key}"

    def program(self, text: str) -> Path:
        path = self.folder / f"program{len(list(self.folder.glob('*.py')))}.py"
        path.write_text(textwrap.dedent(text))
        return path

    def run(self, text: str, *arguments: str) -> str:
        return " ".join((sys.executable, str(self.program(text)), *arguments))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path / "elsewhere")


@pytest.fixture
def plug_in(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package with entry points, as pip would."""
    (elsewhere.folder / "vault.py").write_text(textwrap.dedent(PLUG_IN))
    metadata = elsewhere.folder / "vault-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vault\nVersion: 1.0\n")
    names = {"vault": "Module", "locked": "Locked", "chainless": "Chainless", "broken": "broken", "gone": "Gone"}
    lines = [f"{name} = vault:{target}" for name, target in names.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines]))
    monkeypatch.syspath_prepend(elsewhere.folder)
    monkeypatch.delitem(sys.modules, "vault", raising=False)


def configure(studio: Studio, **changes: object) -> None:
    studio.settings = studio.settings.model_copy(update=changes)
    for name in ("identity", "workshop", "desk"):
        studio.__dict__.pop(name, None)


def wish(seed: int = 1) -> GenerationRequest:
    return GenerationRequest(model="scripted-moving", seed=seed)


def test_a_program_signs_with_an_imported_certificate(studio: Studio, elsewhere: Elsewhere) -> None:
    configure(studio, signer_command=SecretStr(elsewhere.command))
    facts, _ = studio.identity.bring(elsewhere.chain, None, elsewhere.root)
    assert (facts.origin, facts.signer) == ("imported", "program")
    reading = studio.generate(wish()).verification.c2pa
    assert (reading.state, reading.trust_list) == ("trusted", OWN_LIST)
    assert list(studio.settings.identity_folder.rglob("key.pem")) == []


def test_a_plug_in_signs_and_its_files_stay_known_without_it(
    studio: Studio, elsewhere: Elsewhere, plug_in: None
) -> None:
    configure(studio, signer="vault")
    assert studio.identity.show().origin == "plug-in"
    outcome = studio.generate(wish())
    assert (outcome.verification.c2pa.state, outcome.verification.c2pa.trust_list) == ("trusted", OWN_LIST)
    assert outcome.verification.c2pa.issuer == "Test Organisation"
    configure(studio, signer=None)
    assert studio.verify(outcome.asset.path).c2pa.trust_list == OWN_LIST
    assert studio.generate(wish(2)).verification.c2pa.issuer == "Local Video Studio"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "no installed package offers this signer"),
        ("chainless", "it has no chain_pem and sign"),
        ("broken", "no module in the slot"),
        ("gone", "it cannot be started"),
    ],
)
def test_a_plug_in_of_no_use_is_named(name: str, words: str, studio: Studio, plug_in: None) -> None:
    configure(studio, signer=name)
    with pytest.raises(SignerFailed, match=words) as caught:
        active_identity(studio.settings)
    assert caught.value.field == "STUDIO_SIGNER"


def test_the_real_cause_of_a_failed_signature_is_told_and_the_clip_waits(studio: Studio, plug_in: None) -> None:
    configure(studio, signer="locked")
    with pytest.raises(SignerFailed, match="the module is locked"):
        studio.generate(wish())
    (job,) = studio.store.jobs()
    assert job.state == JobState.FAILED
    assert studio.waiting() == [job.id]
    configure(studio, signer="vault")
    assert studio.verify(studio.retry_seal(job.id).path).c2pa.state == "trusted"


PROGRAMS = {
    "fails": (
        "import sys; sys.stderr.write('first\\nbad PIN ' + sys.argv[2] + ' for slot 0\\n'); sys.exit(3)",
        r"ended with exit code 3: bad PIN \*\*\* for slot 0",
    ),
    "hangs": ("import time; time.sleep(60)", "did not sign within 1 seconds"),
    "says nothing": ("pass", "the signer's answer is no signature"),
    "talks nonsense": ("print('not a signature')", "does not fit the certificate"),
    "floods": ("print('x' * 100000)", "the signer's answer is no signature"),
}


@pytest.mark.parametrize("kind", list(PROGRAMS))
def test_a_program_that_does_not_sign_is_reported_without_its_secrets(
    kind: str, studio: Studio, elsewhere: Elsewhere
) -> None:
    text, words = PROGRAMS[kind]
    command = SecretStr(elsewhere.run(text, "--pin", "31415926"))
    configure(studio, signer_command=command, signer_timeout=1.0 if kind == "hangs" else 20.0)
    started = time.monotonic()
    with pytest.raises(SignerFailed, match=words) as caught:
        studio.identity.bring(elsewhere.chain, None, elsewhere.root)
    assert time.monotonic() - started < 15
    assert "31415926" not in caught.value.sentence()
    assert not (studio.settings.identity_folder / "current").exists()


def test_a_program_that_is_not_there_is_reported(elsewhere: Elsewhere) -> None:
    with pytest.raises(SignerFailed, match="sign-it cannot be run"):
        CommandSigner(command="/nowhere/sign-it --pin 31415926", timeout_seconds=5).sign(b"x")
    with pytest.raises(SignerFailed, match="no command line"):
        CommandSigner(command="'unclosed", timeout_seconds=5).sign(b"x")


def test_nothing_in_the_command_is_for_a_shell(elsewhere: Elsewhere, tmp_path: Path) -> None:
    command = elsewhere.run(
        "import sys; sys.stdout.write(repr(sys.argv[1:]))", ";", "touch", str(tmp_path / "trap"), "$(id)"
    )
    said = CommandSigner(command=command, timeout_seconds=20).sign(b"x")
    assert said == repr([";", "touch", str(tmp_path / "trap"), "$(id)"]).encode()
    assert not (tmp_path / "trap").exists()


def test_a_secret_of_the_environment_is_not_repeated(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSM_PIN", "27182818")
    command = elsewhere.run("import os, sys; sys.exit('PIN ' + os.environ['HSM_PIN'] + ' is wrong')")
    with pytest.raises(SignerFailed, match=r"PIN \*\*\* is wrong"):
        CommandSigner(command=command, timeout_seconds=20).sign(b"x")


def test_a_signer_that_never_comes_back_is_given_up(elsewhere: Elsewhere, tmp_path: Path) -> None:
    class Asleep:
        def sign(self, data: bytes) -> bytes:
            time.sleep(30)
            return data

    identity = guarded(_identity(elsewhere, tmp_path), Asleep(), 0.1)
    assert identity.remote is not None
    with pytest.raises(SignerFailed, match="did not sign within"):
        identity.remote.sign(b"x")
    assert isinstance(identity.remote.failure, SignerFailed)


def _identity(elsewhere: Elsewhere, folder: Path) -> SigningIdentity:
    return identity_of(elsewhere.chain.read_bytes(), folder, key_pem=None)


def test_a_certificate_without_a_key_and_without_a_program_does_not_sign(studio: Studio, elsewhere: Elsewhere) -> None:
    configure(studio, signer_command=SecretStr(elsewhere.command))
    studio.identity.bring(elsewhere.chain, None, elsewhere.root)
    configure(studio, signer_command=None)
    with pytest.raises(EnvironmentFault, match="STUDIO_SIGNER_COMMAND"):
        studio.generate(wish())


def test_a_program_is_not_ignored_where_the_studio_has_a_key_of_its_own(studio: Studio, elsewhere: Elsewhere) -> None:
    studio.identity.show()
    configure(studio, signer_command=SecretStr(elsewhere.command))
    with pytest.raises(SignerFailed, match="the identity has a key of its own"):
        studio.generate(wish())


def test_the_command_is_not_in_the_settings_words(studio: Studio) -> None:
    configure(studio, signer_command=SecretStr("sign --pin 31415926"))
    assert "31415926" not in repr(studio.settings) + str(studio.settings)
