"""What works on this machine, and the command that mends the rest."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.config import Settings
from studio.errors import StudioError
from studio.registry import Registry

if TYPE_CHECKING:
    from studio.keys import KeyFacts

# Floors above the domain add their own checks; they are named, never imported.
OTHER_CHECKS = ("pipelines.doctor:checks",)
PACKAGES = ("studio", "pipelines", "providers", "ui", "weights")
ROOM_BYTES = 2 * 2**30
EXPIRY_WARNING_DAYS = 180


@dataclass(frozen=True, kw_only=True)
class DoctorCheck:
    """One finding. fix: what to do about it, empty when ok. ok is None for what is optional and absent."""

    id: str
    ok: bool | None
    detail: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings, registry: Registry) -> list[DoctorCheck]:
    """Run every check. One that breaks is a finding, not a crash."""
    checks: list[tuple[str, Callable[[], DoctorCheck]]] = [
        ("python", _python),
        ("packages", _packages),
        ("home", lambda: _home(settings)),
        ("disk", lambda: _disk(settings)),
        ("encoder", _encoder),
        ("database", lambda: _database(settings)),
        ("library", lambda: _library(settings)),
        ("identity", lambda: _identity(settings)),
        ("signing", lambda: _signing(settings)),
        ("models", lambda: _models(registry)),
    ]
    findings = [_guarded(name, check) for name, check in checks]
    return [*findings, *_several("keys", lambda: _keys(registry)), *_other_checks(settings)]


def _guarded(name: str, check: Callable[[], DoctorCheck]) -> DoctorCheck:
    return _several(name, lambda: [check()])[0]


def _several(name: str, checks: Callable[[], Iterable[DoctorCheck]]) -> list[DoctorCheck]:
    """Run checks that come together. name: of the finding in their place, should they break."""
    try:
        return list(checks())
    except StudioError as error:
        got = "" if error.got is None else f", got {error.got}"
        return [DoctorCheck(id=name, ok=False, detail=f"{error.message}{got}", fix=error.fix or "")]
    except Exception as error:  # a check must not take the others down
        return [
            DoctorCheck(id=name, ok=False, detail=f"{type(error).__name__}: {error}", fix="install the studio anew")
        ]


def _other_checks(settings: Settings) -> Iterator[DoctorCheck]:
    for reference in OTHER_CHECKS:
        # An import that fails is what a doctor is for.
        yield from _several(reference.partition(":")[0], partial(_imported, reference, settings))


def _imported(reference: str, settings: Settings) -> Iterable[DoctorCheck]:
    module, _, name = reference.partition(":")
    found: Iterable[DoctorCheck] = getattr(importlib.import_module(module), name)(settings)
    return found


def _python() -> DoctorCheck:
    ok = sys.version_info >= (3, 11)
    version = ".".join(map(str, sys.version_info[:3]))
    return DoctorCheck(id="python", ok=ok, detail=version, fix="" if ok else "install Python 3.11 or newer")


def _packages() -> DoctorCheck:
    """Our package names are generic; another distribution's would hide ours."""
    home = Path(__file__).resolve().parent.parent
    strangers = []
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None or Path(found.origin).resolve().parent.parent != home:
            strangers.append(f"{name} ({found.origin if found else 'missing'})")
    return DoctorCheck(
        id="packages",
        ok=not strangers,
        detail=f"not ours: {', '.join(strangers)}" if strangers else f"all from {home}",
        fix="install the studio into an environment of its own: `pipx install .` or `uv tool install .`"
        if strangers
        else "",
    )


def _home(settings: Settings) -> DoctorCheck:
    settings.create_home()
    mode = stat.S_IMODE(settings.home.stat().st_mode)
    with tempfile.NamedTemporaryFile(dir=settings.home):
        pass
    return DoctorCheck(id="home", ok=True, detail=f"{settings.home} (mode {mode:04o})")


def _disk(settings: Settings) -> DoctorCheck:
    free = shutil.disk_usage(settings.home).free
    return DoctorCheck(
        id="disk",
        ok=free > ROOM_BYTES,
        detail=f"{free / 2**30:.1f} GiB free",
        fix="" if free > ROOM_BYTES else f"free at least {ROOM_BYTES // 2**30} GiB, or set STUDIO_HOME to another disk",
    )


def _encoder() -> DoctorCheck:
    import imageio_ffmpeg

    return DoctorCheck(id="encoder", ok=True, detail=f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")


def _database(settings: Settings) -> DoctorCheck:
    from studio.library.database import Database

    with Database(settings) as database:
        return DoctorCheck(id="database", ok=True, detail=f"{database.version()} answers, {database.name}")


def _library(settings: Settings) -> DoctorCheck:
    from studio.jobs.quarantine import Quarantine
    from studio.library.store import Store

    with Store(settings) as store:
        assets = store.assets(limit=1_000_000, with_bin=True)
    missing = [asset.id for asset in assets if not asset.is_there]
    waiting = Quarantine(settings.quarantine_folder).waiting()
    detail = f"{len(assets)} assets, {len(waiting)} clips waiting to be sealed, {len(missing)} files missing"
    fix = "`studio quarantine retry` seals what waits" if waiting else ""
    if missing:
        fix = f"`studio library remove {missing[0]}` forgets an asset whose file is gone"
    ok = False if missing else (None if waiting else True)
    return DoctorCheck(id="library", ok=ok, detail=detail, fix=fix)


def _identity(settings: Settings) -> DoctorCheck:
    from studio.provenance.signers import active_identity

    identity = active_identity(settings)
    days = (identity.leaf.not_valid_after_utc - datetime.now(UTC)).days
    is_late = days < EXPIRY_WARNING_DAYS
    renewal = "`studio identity rotate` makes a new one" if identity.is_local else "import a renewed certificate"
    return DoctorCheck(
        id="identity",
        ok=None if is_late else True,
        detail=f"{identity.fingerprint[:16]}, valid for {days} days",
        fix=f"without a time stamp, clips turn invalid when their certificate expires: {renewal}" if is_late else "",
    )


def _signing(settings: Settings) -> DoctorCheck:
    """Seal a tiny clip through the whole gate, in a room of its own."""
    from studio.export.selftest import seal_a_test_clip

    state = seal_a_test_clip(settings)
    return DoctorCheck(
        id="signing", ok=state == "trusted", detail=f"a test clip, sealed with a throw-away identity, reads {state}"
    )


def _keys(registry: Registry) -> list[DoctorCheck]:
    """Say which providers have a key and where it comes from; no provider is asked."""
    from studio.keyrings import KEYRING
    from studio.keys import KeyChain

    facts = KeyChain.of_catalog(registry.catalog).facts()
    found = [item for item in facts if item.source or item.secret_source or item.fault]
    detail = f"{len(found)} of {len(facts)} providers have a key"
    if KEYRING.fault:
        detail += f"; the system's keyring cannot be used: {KEYRING.fault}"
    summary = DoctorCheck(
        id="keys",
        ok=True if found else None,
        detail=detail,
        fix="" if found else "`studio keys set PROVIDER` keeps one",
    )
    return [summary, *(_key(item) for item in found)]


def _key(facts: KeyFacts) -> DoctorCheck:
    places = " and ".join(dict.fromkeys(place for place in (facts.source, facts.secret_source) if place))
    return DoctorCheck(
        id=f"key:{facts.provider}",
        ok=not facts.fault,
        detail=facts.fault or f"found in {places}",
        fix=f"set it anew, or `studio keys set {facts.provider}`" if facts.fault else "",
    )


def _models(registry: Registry) -> DoctorCheck:
    ready = [spec.id for spec in registry.catalog if registry.readiness(spec).ready]
    return DoctorCheck(
        id="models",
        ok=bool(ready) and not registry.catalog.faults,
        detail="; ".join((f"ready: {', '.join(ready) or 'none'}", *registry.catalog.faults)),
        fix="" if ready else "`studio models pull MODEL` fetches one",
    )
