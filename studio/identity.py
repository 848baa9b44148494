"""What a user can do with the studio's signing identity, its trust lists and its missing time stamps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.config import Settings
from studio.errors import RequestError, StudioError, UnsupportedValue
from studio.export.gate import Gate
from studio.export.trial import try_out
from studio.library.asset import Asset
from studio.library.store import Store
from studio.provenance.certificates import SigningIdentity, load_or_create, rotate
from studio.provenance.own_certificate import OwnCertificate, install, read_certificate
from studio.provenance.safekeeping import homes
from studio.provenance.signers import CommandSigner, active_identity, guarded, signer_kind
from studio.provenance.stamp_queue import StampQueue, WaitingStamp
from studio.provenance.timestamps import require_clock
from studio.provenance.trust import (
    SLOTS,
    TrustList,
    certificates_in,
    imported_list,
    is_replaced,
    official_lists,
    own_list,
    replace_list,
    reset_list,
)


@dataclass(frozen=True, kw_only=True)
class IdentityFacts:
    """What may be shown of the identity in use; no secret is among it.

    fingerprint: sha256 of the certificate, hex. origin: ``local``, ``imported`` or ``plug-in``.
    signer: where the key is. retired: how many identities before it still count as this studio's.
    timestamp_url: who is asked for the time, None for nobody. days_left: until the certificate expires.
    """

    fingerprint: str
    subject: str
    issuer: str
    valid_from: datetime
    valid_until: datetime
    days_left: int
    algorithm: str
    origin: str
    signer: str
    retired: int
    timestamp_url: str | None

    def as_json(self) -> dict[str, Any]:
        times = {"valid_from": self.valid_from.isoformat(), "valid_until": self.valid_until.isoformat()}
        return asdict(self) | times


@dataclass(frozen=True, kw_only=True)
class ListFacts:
    """One trust list. slot: its short name for `replace`, None for what cannot be replaced. certificates: how many."""

    slot: str | None
    name: str
    kind: str
    certificates: int
    dated: str | None
    source: str | None
    is_replaced: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StampOutcome:
    """What became of one file that waited for its time stamp: the renewed asset, or why it still waits."""

    asset_id: str
    asset: Asset | None
    error: StudioError | None


class IdentityDesk:
    """The services around one studio's identity. store: opened only when a file is to be stamped."""

    def __init__(self, settings: Settings, store: Callable[[], Store]) -> None:
        self._settings = settings
        self._store = store

    @property
    def _folder(self) -> Path:
        return self._settings.identity_folder

    def show(self) -> IdentityFacts:
        """Return the facts of what signs here, making a local identity on first use. Raises as `active_identity`."""
        self._settings.create_home()
        return self._facts(active_identity(self._settings))

    def rotate(self) -> IdentityFacts:
        """Retire the identity in use and make a new local one. Raises StoreFault or DiskFull."""
        self._settings.create_home()
        return self._facts(rotate(self._folder))

    def bring(self, chain: Path, key: Path | None, root: Path | None) -> tuple[IdentityFacts, tuple[str, ...]]:
        """Make a certificate of the user's own the identity in use, after a signature on trial.

        key: None where `Settings.signer_command` signs. Returns the facts and warnings in plain sentences.
        Raises `UnfitCertificate`, `UnfitKey`, `RefusedIdentity` or `SignerFailed`; then the identity is as it was.
        """
        self._settings.create_home()
        known = next(item for item in official_lists(self._settings) if item.name == SLOTS["c2pa"].name)
        found = read_certificate(chain, key, root, known_authorities_pem=known.pem)
        try_out(self._on_trial(found))
        install(self._folder, found)
        return self._facts(load_or_create(self._folder)), found.warnings

    def _on_trial(self, found: OwnCertificate) -> SigningIdentity:
        identity = found.identity()
        if found.key_pem is not None:
            return identity
        command, seconds = self._settings.signer_command, self._settings.signer_timeout
        if command is None:
            raise RequestError(
                "without a key a program has to sign, and none is configured",
                field="key",
                fix="pass --key FILE, or set STUDIO_SIGNER_COMMAND first",
            )
        return guarded(identity, CommandSigner(command=command.get_secret_value(), timeout_seconds=seconds), seconds)

    def _facts(self, identity: SigningIdentity) -> IdentityFacts:
        leaf = identity.leaf
        origin = "plug-in" if self._settings.signer else ("local" if identity.is_local else "imported")
        return IdentityFacts(
            fingerprint=identity.fingerprint,
            subject=leaf.subject.rfc4514_string(),
            issuer=leaf.issuer.rfc4514_string(),
            valid_from=leaf.not_valid_before_utc,
            valid_until=leaf.not_valid_after_utc,
            days_left=(leaf.not_valid_after_utc - datetime.now(UTC)).days,
            algorithm=identity.algorithm,
            origin=origin,
            signer=signer_kind(self._settings),
            retired=sum(1 for home in homes(self._folder) if home.name != "current"),
            timestamp_url=self._settings.timestamp_url,
        )

    # -- trust --------------------------------------------------------------------------------------------------

    def trust(self) -> list[ListFacts]:
        """Return every list that files are read with here, the studio's own first."""
        official = {item.name: item for item in official_lists(self._settings)}
        own = [item for item in (own_list(self._folder), imported_list(self._folder)) if item is not None]
        slots = {slot.name: key for key, slot in SLOTS.items()}
        return [self._list_facts(item, slots.get(item.name)) for item in (*own, *official.values())]

    def update_trust(self, slot: str, source: Path) -> list[ListFacts]:
        """Use the authorities in a PEM file from now on. Raises `UnfitTrustList`, UnsupportedValue, StoreFault."""
        self._settings.create_home()
        replace_list(self._settings, slot, source)
        return self.trust()

    def reset_trust(self, slot: str) -> list[ListFacts]:
        """Go back to the list that ships."""
        reset_list(self._settings, slot)
        return self.trust()

    def _list_facts(self, item: TrustList, slot: str | None) -> ListFacts:
        return ListFacts(
            slot=slot,
            name=item.name,
            kind=item.kind,
            certificates=certificates_in(item.pem) + certificates_in(item.leaves_pem),
            dated=item.dated.isoformat() if item.dated else None,
            source=item.uri,
            is_replaced=slot is not None and is_replaced(self._settings, slot),
        )

    # -- time stamps --------------------------------------------------------------------------------------------

    def waiting_stamps(self) -> list[WaitingStamp]:
        """Return the files that still wait for a time stamp, oldest first."""
        return [item for item in StampQueue(self._settings) if self._store().has_asset(item.asset_id)]

    def stamp(self, asset_ids: Sequence[str] = ()) -> list[StampOutcome]:
        """Try again to get time stamps: for all that wait, or for these assets, whether they wait or not.

        One that fails goes on waiting and does not keep the others from theirs.
        Raises `UnknownAsset`, or EnvironmentFault where no authority is configured.
        """
        require_clock(self._settings)
        wanted = asset_ids or [item.asset_id for item in self.waiting_stamps()]
        return [self._stamp(self._store().asset(asset_id)) for asset_id in wanted]

    def _stamp(self, asset: Asset) -> StampOutcome:
        try:
            with tempfile.TemporaryDirectory(dir=self._settings.home, prefix="stamping-") as workdir:
                renewed = Gate(self._settings, self._store()).stamp(asset, Path(workdir))
        except UnsupportedValue as error:  # asking again would not help
            StampQueue(self._settings).done(asset.id)
            return StampOutcome(asset_id=asset.id, asset=None, error=error)
        except StudioError as error:
            queue = StampQueue(self._settings)
            if self._store().has_asset(asset.id):
                queue.add(asset.id, error.message)
            else:  # removed meanwhile: nothing of it may stay
                queue.done(asset.id)
            return StampOutcome(asset_id=asset.id, asset=None, error=error)
        return StampOutcome(asset_id=asset.id, asset=renewed, error=None)
