"""The settings as the page shows them, and what admins change: keys, weights, room. No key ever comes back."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from studio import __version__
from studio.catalog.metrics import load_metrics
from studio.catalog.schema import HasWeights, ModelSpec, Status
from studio.errors import UnsupportedValue
from studio.hub import Hub
from studio.keyrings import KEYRING
from studio.keys import KeyChain
from studio.people.visitor import Action
from studio.provenance.certificates import has_watermark_key
from studio.spending.break_even import break_even
from studio.weights import WeightStore
from ui.api.problems import Refusal, refusal_of
from ui.web.here import Asked, Here
from ui.web.routes.housekeeping import costs_now, machine_now, repository_bytes, room_now
from ui.web.routes.jobs import unless_known
from ui.web.routes.secret_fields import Sent
from ui.web.views.settings import (
    about_view,
    certificates_view,
    costs_view,
    defaults_view,
    doctor_view,
    keys_view,
    machine_findings,
    pull_view,
    sections,
    weights_view,
)

router = APIRouter(prefix="/studio/settings")


class Consent(BaseModel):
    """What somebody agreed to before a download: the licence that was shown."""

    model_config = ConfigDict(extra="forbid")

    licence: str


@router.get("")
def overview(here: Here) -> dict[str, Any]:
    """Return which parts the visitor is shown."""
    visitor = here.visitor
    has_accounts = visitor.is_admin and bool(here.site.people.accounts())
    return {
        "visitor": {"name": visitor.name, "role": visitor.role.value, "is_admin": visitor.is_admin},
        "sections": sections(visitor, has_accounts=has_accounts),
    }


# -- keys ---------------------------------------------------------------------------------------------------------


@router.get("/keys")
def show_keys(here: Here) -> dict[str, Any]:
    """Return which providers have a key."""
    here.require(Action.ADMINISTER)
    return _keys(here)


@router.post("/keys/{provider}/{half}")
def set_key(provider: str, half: Literal["first", "second"], sent: Sent, here: Here) -> dict[str, Any]:
    """Keep a key in the system's keyring."""
    here.require(Action.ADMINISTER)
    notes = _chain(here).set(provider, sent.text("key"), is_second=half == "second")
    return _keys(here) | {"notes": notes}


@router.delete("/keys/{provider}")
def remove_key(provider: str, here: Here) -> dict[str, Any]:
    """Take a provider's key, both halves of a pair, out of the system's keyring."""
    here.require(Action.ADMINISTER)
    notes = _chain(here).remove(provider)
    return _keys(here) | {"notes": notes}


def _chain(here: Asked) -> KeyChain:
    return KeyChain.of_catalog(here.studio.registry.catalog)


def _keys(here: Asked) -> dict[str, Any]:
    facts = _chain(here).facts()
    return keys_view(facts, KEYRING.fault)


# -- money --------------------------------------------------------------------------------------------------------


@router.get("/costs")
def show_costs(here: Here) -> dict[str, Any]:
    """Return the budgets, what was spent, and when this machine costs less."""
    here.require(Action.MAKE)
    studio = here.studio
    told = break_even(studio.store, studio.settings, studio.registry)[0].told
    return costs_view(studio.settings, costs_now(studio), told)


# -- weights ------------------------------------------------------------------------------------------------------


@router.get("/models")
def show_weights(here: Here) -> dict[str, Any]:
    """Return every model and learned check that has weights, and whether they are here."""
    here.require(Action.ADMINISTER)
    store, hub = WeightStore(here.studio.settings), Hub.from_environment()
    rows = [
        weights_view(spec, is_here=store.is_present(spec), disk_bytes=repository_bytes(spec, hub))
        for spec in _with_weights(here)
    ]
    return {"models": sorted(rows, key=lambda row: (not row["is_here"], row["kind"], row["id"]))}


@router.get("/pulls")
def show_pulls(request: Request, here: Here) -> Response:
    """Return the downloads since the server started."""
    here.require(Action.ADMINISTER)
    return unless_known({"pulls": [pull_view(pull, here.services.home) for pull in here.site.pulls.all()]}, request)


@router.post("/models/{model_id}/pull")
def pull(model_id: str, consent: Consent, here: Here) -> dict[str, Any]:
    """Begin to download weights. Nothing is, unless the licence was shown and named."""
    here.require(Action.ADMINISTER)
    spec = next((spec for spec in _with_weights(here) if spec.id == model_id), None)
    if spec is None:
        raise UnsupportedValue("there are no weights of this name to fetch", field="model", got=model_id)
    licence = weights_view(spec, is_here=False, disk_bytes=0)["licence"]["id"]
    if consent.licence != licence:
        raise Refusal(409, "the licence that was agreed to is not the one in force", field="licence",
                      got=consent.licence, allowed=licence, fix="look at the licence again")  # fmt: skip
    return pull_view(here.site.pulls.start(spec.id), here.services.home)


@router.post("/models/{model_id}/cancel")
def cancel_pull(model_id: str, here: Here) -> dict[str, Any]:
    """Stop a download; what came is kept."""
    here.require(Action.ADMINISTER)
    here.site.pulls.cancel(model_id)
    return {"id": model_id}


def _with_weights(here: Asked) -> list[HasWeights]:
    living: list[HasWeights] = [spec for spec in here.studio.registry.catalog if _is_served(spec)]
    return [*living, *load_metrics()]


def _is_served(spec: ModelSpec) -> bool:
    return spec.weights is not None and spec.generator is not None and spec.status is not Status.RETIRED


# -- room on the disk ---------------------------------------------------------------------------------------------


@router.get("/storage")
def show_storage(here: Here) -> dict[str, Any]:
    """Return how much lies where, and what could be freed. Walks the folders."""
    here.require(Action.ADMINISTER)
    return room_now(here.studio, _with_weights(here))


@router.post("/storage/free")
def free(here: Here) -> dict[str, Any]:
    """Delete what no job needs any more, as `studio queue gc` does. Returns what was freed."""
    here.require(Action.ADMINISTER)
    done = here.studio.desk.gc()
    return {"size_bytes": done.size_bytes, "number": len(done.removed)}


# -- machine, certificates, doctor --------------------------------------------------------------------------------


@router.get("/machine")
def show_machine(here: Here) -> dict[str, Any]:
    """Return what this machine is, what limits are set, and what the doctor found out about it."""
    here.require(Action.ADMINISTER)
    last = here.site.surgery.last
    return machine_now(here.studio, here.model_names) | {
        "findings": machine_findings(last),
        "examined_at": None if last.ended_at is None else last.ended_at.isoformat(),
    }


@router.get("/certificates")
def show_certificates(here: Here) -> dict[str, Any]:
    """Return what signs here, whom files are judged by, and which clips wait for a time stamp."""
    here.require(Action.ADMINISTER)
    identity = here.studio.identity
    has_key = has_watermark_key(here.studio.settings.identity_folder)
    return certificates_view(identity.show(), identity.trust(), identity.waiting_stamps(), has_watermark_key=has_key)


@router.post("/certificates/stamps")
def stamp(here: Here) -> dict[str, Any]:
    """Ask the time stamp authority again for all clips that wait."""
    here.require(Action.ADMINISTER)
    outcomes = here.studio.identity.stamp()
    failed = [refusal_of(item.error, here.services.home).message for item in outcomes if item.error is not None]
    return {"done": len(outcomes) - len(failed), "failed": failed}


@router.get("/doctor")
def show_doctor(request: Request, here: Here) -> Response:
    """Return the last examination, and whether one runs."""
    here.require(Action.ADMINISTER)
    return unless_known(doctor_view(here.site.surgery.last), request)


@router.post("/doctor")
def examine(here: Here) -> dict[str, Any]:
    """Begin an examination, unless one runs."""
    here.require(Action.ADMINISTER)
    return doctor_view(here.site.surgery.begin())


# -- what is in force, and what this is ---------------------------------------------------------------------------


@router.get("/defaults")
def show_defaults(here: Here) -> dict[str, Any]:
    """Return the settings in force."""
    here.require(Action.LOOK)
    return {"settings": defaults_view(here.studio.settings, here.visitor)}


@router.get("/about")
def about(here: Here) -> dict[str, Any]:
    """Return what this program is."""
    here.require(Action.LOOK)
    return about_view(__version__)
