"""Whom the studio trusts: its own certificates, the official lists, and settings under which nothing goes online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from studio.config import Settings
from studio.disk import is_full, write_durably
from studio.errors import DiskFull, RequestError, StoreFault, UnreadableMedia, UnsupportedValue
from studio.media import open_regular_file
from studio.provenance.certificates import OwnCertificates, SigningIdentity, own_certificates
from studio.provenance.issuing import SIGNING_PURPOSES

Kind = Literal["manifest", "tsa"]

OWN_LIST = "this studio"
IMPORTED_LIST = "authorities imported with a certificate"
MAX_LIST_BYTES = 2**20
MAX_LIST_CERTIFICATES = 1000

_SHIPPED = Path(__file__).parent / "trust_lists"
_SOURCE = "https://github.com/c2pa-org/conformance-public/blob/main/trust-list"
_ISSUED = date(2026, 8, 5)

# The library takes the purposes a signer's certificate may have from here alone, one in each line; those inside an
# entry of its list of anchors have no effect.
_PURPOSES = "".join(f"{purpose}\n" for purpose in SIGNING_PURPOSES)


class UnfitTrustList(RequestError):
    """A file that is no list of authorities' certificates."""


@dataclass(frozen=True, kw_only=True)
class TrustList:
    """Certificates of authorities, and what they are trusted for.

    name: shown to people, and how a reading says which list matched; no two lists of a reading share one.
    uri: where the list comes from, None for one of this machine's own.
    pem: certificates of the authorities. dated: when the list was issued or brought here.
    kind: whether they vouch for signers (``manifest``) or for the time (``tsa``).
    leaves_pem: certificates trusted by themselves, whoever issued them; in one list of a reading at most.
    """

    name: str
    uri: str | None
    pem: bytes = field(repr=False)
    dated: date | None
    kind: Kind = "manifest"
    leaves_pem: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class _Slot:
    """A list that the user may replace. shipped: its file's name at the source, None if nothing ships."""

    name: str
    kind: Kind
    shipped: str | None


SLOTS = {
    "c2pa": _Slot(name="C2PA trust list", kind="manifest", shipped="C2PA-TRUST-LIST.pem"),
    "tsa": _Slot(name="C2PA time stamp authorities", kind="tsa", shipped="C2PA-TSA-TRUST-LIST.pem"),
    "signers": _Slot(name="authorities added by the user", kind="manifest", shipped=None),
    "clocks": _Slot(name="time stamp authorities added by the user", kind="tsa", shipped=None),
}


def identity_list(identity: SigningIdentity) -> TrustList:
    """Return the list by which files of this identity, and of those before it, are known as this studio's own."""
    return _own(OwnCertificates(roots_pem=identity.anchors_pem, leaves_pem=identity.leaves_pem))


def own_list(folder: Path) -> TrustList | None:
    """Return by what this install knows its own files, None before its first signature. folder: the identity's.

    Raises as `own_certificates` does.
    """
    own = own_certificates(folder)
    return _own(own) if own.roots_pem or own.leaves_pem else None


def imported_list(folder: Path) -> TrustList | None:
    """Return the roots that were given along with imported certificates, None if there are none.

    They are no part of the studio's own list: under the same root others have certificates too.
    """
    pem = own_certificates(folder).authorities_pem
    return TrustList(name=IMPORTED_LIST, uri=None, pem=pem, dated=None) if pem else None


def official_lists(settings: Settings) -> tuple[TrustList, ...]:
    """Return the C2PA lists, in the user's newer copy where there is one, and those the user added."""
    found = (_user_list(settings, key) or _shipped_list(key) for key in SLOTS)
    return tuple(item for item in found if item is not None)


def trusted_lists(settings: Settings) -> tuple[TrustList, ...]:
    """Return every list that a file is read with here, the studio's own first."""
    folder = settings.identity_folder
    own = (own_list(folder), imported_list(folder))
    return (*(item for item in own if item is not None), *official_lists(settings))


def replace_list(settings: Settings, slot: str, source: Path) -> None:
    """Use the authorities in a PEM file from now on in place of those that ship.

    Raises `UnfitTrustList` for a file that is no such list, StoreFault or DiskFull where it cannot be kept.
    """
    _slot(slot)
    pem = _authorities_of(source)
    path = _user_path(settings, slot)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(path, lambda stream: stream.write(pem))
    except OSError as error:
        if is_full(error):
            raise DiskFull("there is no room for the list", got=path.parent, fix="free some space") from error
        raise StoreFault(f"the list cannot be kept ({error.strerror or error})", got=path) from error


def reset_list(settings: Settings, slot: str) -> None:
    """Go back to the list that ships, or to none."""
    _slot(slot)
    _user_path(settings, slot).unlink(missing_ok=True)


def is_replaced(settings: Settings, slot: str) -> bool:
    """Say whether the user's own copy is in use."""
    return _user_path(settings, slot).is_file()


def certificates_in(pem: bytes) -> int:
    """Return how many certificates a list holds."""
    return pem.count(b"-----BEGIN CERTIFICATE-----")


def offline_settings(lists: Sequence[TrustList], *, created_labels: Sequence[str] = ()) -> dict[str, Any]:
    """Return settings that trust these lists, verify after signing, and open no socket.

    Without them the library fetches the manifest that a stranger's file points to: a way to make this
    computer call an address of the stranger's choice.
    """
    return {
        "verify": {
            "verify_after_reading": True,
            "verify_after_sign": True,
            "verify_trust": True,
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
        },
        "core": {
            "allowed_network_hosts": [],
            "decode_identity_assertions": False,
            # MiB above which a file that is being signed is kept on the disk, not twice in memory.
            "backing_store_memory_threshold_in_mb": 64,
        },
        "trust": {"anchors": [_anchors(item) for item in lists], "trust_config": _PURPOSES},
        "builder": {"thumbnail": {"enabled": False}, "created_assertion_labels": list(created_labels)},
    }


def _anchors(item: TrustList) -> dict[str, str]:
    entry = {"trust_anchors": item.pem.decode("ascii", "replace"), "trust_uri": item.name, "trust_kind": item.kind}
    return entry | ({"allowed_list": item.leaves_pem.decode("ascii", "replace")} if item.leaves_pem else {})


def _own(own: OwnCertificates) -> TrustList:
    return TrustList(name=OWN_LIST, uri=None, pem=own.roots_pem, dated=None, leaves_pem=own.leaves_pem)


def _shipped_list(key: str) -> TrustList | None:
    slot = SLOTS[key]
    if slot.shipped is None:
        return None
    pem = (_SHIPPED / f"{key}.pem").read_bytes()
    return TrustList(name=slot.name, uri=f"{_SOURCE}/{slot.shipped}", pem=pem, dated=_ISSUED, kind=slot.kind)


def _user_list(settings: Settings, key: str) -> TrustList | None:
    """Return the user's copy; one that has become unreadable counts as none, so that the shipped one takes over."""
    path = _user_path(settings, key)
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            return None
        pem, changed = path.read_bytes(), path.stat().st_mtime
    except OSError:
        return None
    if not certificates_in(pem):
        return None
    day = datetime.fromtimestamp(changed, UTC).date()
    return TrustList(name=SLOTS[key].name, uri=path.as_uri(), pem=pem, dated=day, kind=SLOTS[key].kind)


def _user_path(settings: Settings, key: str) -> Path:
    return settings.home / "trust" / f"{key}.pem"


def _slot(key: str) -> _Slot:
    if key not in SLOTS:
        raise UnsupportedValue("there is no such list", field="list", got=key, allowed=", ".join(SLOTS))
    return SLOTS[key]


def _authorities_of(source: Path) -> bytes:
    """Return the certificates in a file as clean PEM, or refuse the file."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        with open_regular_file(source, field="file") as file:
            content = file.read(MAX_LIST_BYTES + 1)
    except UnreadableMedia as error:
        raise UnfitTrustList(error.message, field="file", got=source) from error
    except OSError as error:
        raise UnfitTrustList(
            f"the file cannot be read ({error.strerror or error})", field="file", got=source
        ) from error
    if len(content) > MAX_LIST_BYTES or certificates_in(content) > MAX_LIST_CERTIFICATES:
        limit = f"up to {MAX_LIST_CERTIFICATES} certificates in {MAX_LIST_BYTES // 2**10} KiB"
        raise UnfitTrustList("the file is larger than any list of authorities", field="file", got=source, allowed=limit)
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise UnfitTrustList(
            "the file holds no readable certificates", field="file", got=source, allowed="PEM certificates"
        ) from error
    for certificate in found:
        if not _is_authority(certificate):
            raise UnfitTrustList(
                "the list holds a certificate that is no authority's",
                field="file",
                got=certificate.subject.rfc4514_string(),
                allowed="certificates with CA:true",
            )
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)


def _is_authority(certificate: Any) -> bool:
    from cryptography import x509

    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False
