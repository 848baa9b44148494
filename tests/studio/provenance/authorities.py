"""Real authorities for tests: chains with any fault one likes, and one that stamps the time (RFC 3161) on loopback."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from studio.provenance.issuing import C2PA_CLAIM_SIGNING, EMAIL_PROTECTION

DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"
ANY_PURPOSE = "2.5.29.37.0"
CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING.dotted_string
BOTH = (C2PA_CLAIM_SIGNING, EMAIL_PROTECTION)

YESTERDAY = timedelta(days=-1)
NEXT_YEAR = timedelta(days=365)


def new_key(kind: str = "p256") -> Any:
    """Return a private key: p256, p384, p521, p192, rsa2048, rsa1024 or ed25519."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    curves = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1, "k256": ec.SECP256K1}
    return ec.generate_private_key(curves[kind]())


def pem(item: Any) -> bytes:
    """Return a certificate or a private key (PKCS #8, unencrypted) as PEM."""
    if isinstance(item, x509.Certificate):
        return item.public_bytes(Encoding.PEM)
    return item.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Authority:
    """A root, or an authority below another one, that issues certificates with or without faults."""

    name: str = "Test Authority"
    key: Any = field(default_factory=new_key)
    above: Authority | None = None
    is_authority: bool = True
    until: timedelta = 10 * NEXT_YEAR
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        issuer = self.above or self
        self.certificate = _certificate(
            self.name, issuer.name, self.key.public_key(), issuer.key, authority=self.is_authority, until=self.until
        )

    def issue(self, key: Any, **more: Any) -> x509.Certificate:
        """Return a leaf; see `_certificate` for what may be wrong with it."""
        more = {"purposes": BOTH} | more
        return _certificate("A Signer", self.name, key.public_key(), self.key, authority=False, **more)


def _certificate(
    subject: str,
    issuer: str,
    key: Any,
    issuer_key: Any,
    *,
    authority: bool = False,
    since: timedelta = YESTERDAY,
    until: timedelta = NEXT_YEAR,
    purposes: Sequence[str] | None = None,
    usage: bool = True,
    key_identifier: bool = True,
    claims_authority: bool = False,
) -> x509.Certificate:
    now, is_ca = datetime.now(UTC), authority or claims_authority
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + min(since, until - timedelta(hours=1)))
        .not_valid_after(now + until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if usage:
        builder = builder.add_extension(_usage(authority), critical=True)
    if purposes:
        listed = x509.ExtendedKeyUsage([x509.ObjectIdentifier(item) for item in purposes])
        builder = builder.add_extension(listed, critical=purposes == (TIME_STAMPING,))
    if key_identifier:
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(own, critical=False)
    return builder.sign(issuer_key, None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, "Test Organisation"), (NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


def _usage(authority: bool) -> x509.KeyUsage:
    names = ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        **dict.fromkeys(names, False),
    )


Mood = Literal["answers", "is broken", "hangs", "drips", "talks nonsense", "redirects"]


class TimeAuthority:
    """OpenSSL's responder behind a web server on this machine. mood: how it behaves; calls: how often it was asked."""

    def __init__(self, folder: Path) -> None:
        self.root = Authority(name="Test Time Root", key=new_key("rsa2048"))
        self.mood: Mood = "answers"
        self.calls = 0
        self.url = ""
        self.is_closing = threading.Event()
        self._folder = folder
        self._lock = threading.Lock()
        key = new_key("rsa2048")
        leaf = self.root.issue(key, purposes=(TIME_STAMPING,))
        for name, content in (("leaf.pem", pem(leaf)), ("key.pem", pem(key)), ("root.pem", pem(self.root.certificate))):
            (folder / name).write_bytes(content)
        (folder / "serial").write_text("01")
        (folder / "tsa.cnf").write_text(
            f"[tsa]\ndefault_tsa = t\n[t]\ndir = {folder}\nserial = $dir/serial\nsigner_cert = $dir/leaf.pem\n"
            "certs = $dir/root.pem\nsigner_key = $dir/key.pem\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\n"
            "digests = sha256, sha384, sha512\naccuracy = secs:1\ness_cert_id_alg = sha256\n"
        )

    def reply(self, query: bytes) -> bytes:
        with self._lock:  # openssl counts serial numbers in a file
            (self._folder / "query").write_bytes(query)
            command = ["openssl", "ts", "-reply", "-queryfile", str(self._folder / "query")]
            command += ["-config", str(self._folder / "tsa.cnf"), "-section", "t", "-out", str(self._folder / "reply")]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            return (self._folder / "reply").read_bytes()


def _handler(authority: TimeAuthority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            authority.calls += 1
            query = self.rfile.read(int(self.headers["Content-Length"]))
            behave = {
                "hangs": lambda: authority.is_closing.wait(60),
                "drips": self._drip,
                "is broken": lambda: self.send_error(500),
                "redirects": self._redirect,
                "talks nonsense": lambda: self._send(b"nonsense"),
                "answers": lambda: self._send(authority.reply(query)),
            }
            behave[authority.mood]()

        def _redirect(self) -> None:
            self.send_response(307)
            self.send_header("Location", authority.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _drip(self) -> None:
            self.send_response(200)
            self.end_headers()
            end = time.monotonic() + 60
            try:
                while time.monotonic() < end and not authority.is_closing.wait(0.1):
                    self.wfile.write(b"\0")
            except OSError:
                pass

        def log_message(self, *_: object) -> None: ...

    return Handler


@contextmanager
def time_authority(folder: Path) -> Iterator[TimeAuthority]:
    """Run a time stamp authority for the duration of the context."""
    folder.mkdir(parents=True)
    authority = TimeAuthority(folder)

    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(authority)) as server:
        server.daemon_threads = True
        authority.url = f"http://127.0.0.1:{server.server_port}/stamp"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield authority
        authority.is_closing.set()
        server.shutdown()
        thread.join(timeout=5)
