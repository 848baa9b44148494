"""Signing with a key that the studio never sees: a plug-in's (HSM, KMS) or that of a program."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from queue import Empty, Queue
from typing import Protocol, runtime_checkable

from studio.config import Settings
from studio.errors import EnvironmentFault, StudioError
from studio.provenance.certificates import SigningIdentity, identity_of, load_or_create, pin
from studio.provenance.keys import WrongSignature, plain_signature, require_signature

ENTRY_POINT_GROUP = "studio.signers"
MAX_SIGNATURE_BYTES = 2**12

_SECRET_NAME = re.compile(r"PIN|PASS|TOKEN|SECRET|KEY|CREDENTIAL", re.IGNORECASE)
_SHORTEST_SECRET = 4


class SignerFailed(EnvironmentFault):
    """The plug-in or the program that signs did not do so."""


class _Bytes(Protocol):
    def sign(self, data: bytes) -> bytes: ...


@runtime_checkable
class ExternalSigner(Protocol):
    """What a plug-in's entry point in the group ``studio.signers`` makes when it is called without arguments.

    chain_pem: the leaf, then intermediates, without the root.
    sign: the raw signature of the data, within the configured time; r || s or DER for elliptic curves,
    RSASSA-PSS with SHA-256 and a salt of 32 bytes for RSA. Any exception counts as a failure and is told to the user.
    """

    @property
    def chain_pem(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes: ...


def active_identity(settings: Settings) -> SigningIdentity:
    """Return what signs here: a plug-in's identity, an imported one or the local one, made on first use.

    Raises:
        SignerFailed: the configured plug-in or program is missing or of no use.
        DamagedIdentity, StoreFault, DiskFull: as `load_or_create`.
    """
    if settings.signer:
        return _plugin_identity(settings, settings.signer)
    identity = load_or_create(settings.identity_folder)
    command = settings.signer_command
    if identity.key_pem is None and command is None:
        raise SignerFailed(
            "the imported certificate has no key here, and nothing is configured to sign in its place",
            field="STUDIO_SIGNER_COMMAND",
            fix="set STUDIO_SIGNER_COMMAND, or go back to a key of the studio's own: `studio identity rotate`",
        )
    if command is None:
        return identity
    if identity.key_pem is not None:
        raise SignerFailed(
            "a program is configured to sign, but the identity has a key of its own",
            field="STUDIO_SIGNER_COMMAND",
            fix="`studio identity import --chain FILE` brings the program's certificate, or unset the variable",
        )
    program = CommandSigner(command=command.get_secret_value(), timeout_seconds=settings.signer_timeout)
    return guarded(identity, program, settings.signer_timeout)


def signer_kind(settings: Settings) -> str:
    """Say in words where the key is."""
    if settings.signer:
        return f"plug-in {settings.signer}"
    return "program" if settings.signer_command else "key file"


@dataclass(frozen=True, kw_only=True)
class CommandSigner:
    """A program, run without a shell: data on its standard input, the raw signature on its standard output."""

    command: str = field(repr=False)
    timeout_seconds: float

    def sign(self, data: bytes) -> bytes:
        arguments = _split(self.command)
        program = Path(arguments[0]).name
        try:
            ended = subprocess.run(
                arguments, input=data, capture_output=True, timeout=self.timeout_seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise SignerFailed(f"{program} did not sign within {self.timeout_seconds:g} seconds") from None
        except OSError as error:
            raise SignerFailed(f"{program} cannot be run ({error.strerror or error})") from None
        if ended.returncode != 0:
            said = _last_line(ended.stderr, arguments[1:])
            raise SignerFailed(f"{program} ended with exit code {ended.returncode}{said}")
        return ended.stdout


class _Guarded:
    """A signer whose answer is awaited for a limited time and checked against the certificate.

    The signing library tells nothing about an exception in here but that there was one; `failure` keeps it.
    """

    def __init__(self, identity: SigningIdentity, signer: _Bytes, timeout_seconds: float) -> None:
        self._identity = identity
        self._signer = signer
        self._timeout_seconds = timeout_seconds
        self.failure: StudioError | None = None

    def sign(self, data: bytes) -> bytes:
        self.failure = None
        try:
            signature = _within(self._timeout_seconds + 1, lambda: self._signer.sign(data))
            if not isinstance(signature, bytes) or not 0 < len(signature) <= MAX_SIGNATURE_BYTES:
                raise SignerFailed("the signer's answer is no signature", got=_shape(signature))
            plain = plain_signature(self._identity.algorithm, signature)
            require_signature(self._identity.leaf, data, plain)
            return plain
        except WrongSignature as error:
            self.failure = SignerFailed(error.message, got=error.got, allowed=error.allowed)
            raise self.failure from error
        except StudioError as error:
            self.failure = error
            raise
        except Exception as error:
            self.failure = SignerFailed(f"the signer failed ({type(error).__name__}: {_masked(str(error), ())})")
            raise self.failure from error


def guarded(identity: SigningIdentity, signer: _Bytes, timeout_seconds: float) -> SigningIdentity:
    """Return the identity with `signer` in place of a key file."""
    return replace(identity, key_pem=None, remote=_Guarded(identity, signer, timeout_seconds))


def _plugin_identity(settings: Settings, name: str) -> SigningIdentity:
    signer = _plugin(name)
    try:
        identity = identity_of(signer.chain_pem, settings.identity_folder, key_pem=None)
        pin(settings.identity_folder, identity.leaf)
        identity = identity_of(signer.chain_pem, settings.identity_folder, key_pem=None)
    except StudioError:
        raise
    except Exception as error:
        raise _useless(name, f"its certificate chain cannot be read ({type(error).__name__})") from error
    return guarded(identity, signer, settings.signer_timeout)


def _plugin(name: str) -> ExternalSigner:
    points = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in points:
        raise SignerFailed(
            "no installed package offers this signer",
            field="STUDIO_SIGNER",
            got=name,
            allowed=", ".join(sorted(points)) or "none is installed",
            fix="install the package, or unset the variable",
        )
    try:
        signer = points[name].load()()
    except Exception as error:
        raise _useless(name, f"it cannot be started ({type(error).__name__}: {_masked(str(error), ())})") from error
    if not isinstance(signer, ExternalSigner):
        raise _useless(name, "it has no chain_pem and sign")
    return signer


def _useless(name: str, why: str) -> SignerFailed:
    return SignerFailed(
        f"this signer is of no use: {why}",
        field="STUDIO_SIGNER",
        got=name,
        fix="mend the plug-in, or unset the variable",
    )


def _within(seconds: float, work: Callable[[], object]) -> object:
    """Return what `work` returns, or raise what it raises, or `SignerFailed` after the time; it may then still run."""
    ended: Queue[tuple[object, Exception | None]] = Queue(1)

    def run() -> None:
        try:
            ended.put((work(), None))
        except Exception as error:
            ended.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, failure = ended.get(timeout=seconds)
    except Empty:
        raise SignerFailed(f"the signer did not sign within {seconds:g} seconds") from None
    if failure is not None:
        raise failure
    return result


def _split(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError:
        arguments = []
    if not arguments:
        raise SignerFailed(
            "this is no command line",
            field="STUDIO_SIGNER_COMMAND",
            allowed="a program and its arguments, quoted as in a shell",
        )
    return arguments


def _last_line(stderr: bytes, arguments: list[str]) -> str:
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {_masked(lines[-1][:200], arguments)}" if lines else ""


def _masked(text: str, arguments: list[str] | tuple[str, ...]) -> str:
    """Take out whatever a program may have repeated of its arguments, and of variables that sound like secrets."""
    secret = [value for name, value in os.environ.items() if _SECRET_NAME.search(name)]
    parts = [part for argument in arguments for part in (argument, *re.split(r"[=:,]", argument))]
    for value in sorted({*secret, *parts}, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text


def _shape(answer: object) -> str:
    return f"{len(answer)} bytes" if isinstance(answer, bytes) else type(answer).__name__
