"""Every error the studio raises on purpose, in one tree, split by who can act on it.

StudioError
├── RequestError            the person asking can mend it          (exit code 2)
│   ├── NotFound            what is named is not there
│   │   ├── UnknownModel
│   │   ├── UnknownAsset        (studio.library.store)
│   │   ├── UnknownCollection   (studio.library.collecting)
│   │   ├── UnknownJob          (studio.jobs.job)
│   │   ├── UnknownBatch        (studio.jobs.batches)
│   │   ├── UnknownComparison   (studio.comparing.rows)
│   │   ├── UnknownPreset       (studio.people.presets)
│   │   └── UnknownAccount      (studio.people.account)
│   ├── NotAllowed          somebody else may do this (studio.people.visitor)
│   ├── TooManyTries        logins failed too often (studio.people.throttle)
│   ├── OverBudget          a remote job would cost more than a budget has room for (studio.jobs.budget)
│   ├── InWork              another process works on the job (studio.jobs.quarantine)
│   ├── UnsupportedValue    a field outside what the model allows
│   ├── RequestRefused      a provider does not accept the request
│   ├── InputRefused        a provider does not accept a picture or video
│   ├── ModelGone           a provider does not have the model any more
│   ├── BatchFaults         all that is wrong with a batch file (studio.batch.faults)
│   ├── UnreadableMedia     an input file that is missing, broken or hostile
│   ├── UnfitKey, UnfitCertificate, RefusedIdentity, WrongSignature   a signing certificate that will not do
│   ├── UnfitTrustList      (studio.provenance.trust)
│   └── OutputRefused       a destination that cannot or must not be written
├── EnvironmentFault        the machine or its set-up is at fault  (exit code 3)
│   ├── MissingWeights
│   ├── BatchNotReady       what this machine lacks for a batch (studio.batch.faults)
│   ├── WeightsMismatch     bytes differ from what was recorded or pinned
│   ├── MissingKey
│   ├── KeyRefused          a provider does not know the key
│   ├── AccessDenied        the key is good, but not for this model or region
│   ├── OutOfCredits        nothing is left to pay with at the provider
│   ├── QuotaUsedUp         no more today, or this month
│   ├── MissingPackage
│   ├── Unreachable         the network or a hub does not answer, or is switched off
│   ├── OutOfMemory
│   ├── DiskFull
│   ├── DamagedIdentity     the signing identity (studio.provenance.safekeeping)
│   ├── SignerFailed        a key kept elsewhere did not sign (studio.provenance.signers)
│   ├── NoTimeStamp         the authority for the time gave none (studio.export.stamping)
│   └── StoreFault          the library's database or folders
│       ├── StoreBusy       the database stays locked by others; the same works later
│       ├── StoreTaken      somebody else wrote the same at the same moment
│       └── StoreGone       the connection to it was lost; the same works when it is back
│           └── ShareFault  the folder that machines share cannot be reached (studio.library.shelf)
├── GenerationFailed        the model or the provider failed       (exit code 4)
│   ├── SealFailed          made, but it could not be sealed; the raw clip is in quarantine
│   └── ProviderFailed
│       ├── Moderated       the provider does not show what it was asked for; it may have been charged
│       ├── SubmitUnknown   nobody knows whether the provider took the order; it is never sent again by itself
│       ├── RateLimited, TooManyJobs   not taken; later it may be
│       ├── ProviderBroken  it says that the fault is its own
│       ├── StillRunning    the job takes longer than anybody wants to wait; it can be picked up later
│       ├── JobExpired, OutputExpired   asked for too late
│       ├── DownloadRefused a result that is not what it should be, or not where it may be
│       ├── DownloadBroken  a result that did not come whole
│       └── ProtocolError   an answer that makes no sense
├── VerificationFailed      a check or a verification says no      (exit code 1)
│   └── ChecksFailed        the clip's policy keeps it from being sealed (studio.consistency.policy)
└── Canceled                somebody asked to stop                 (exit code 130)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class StudioError(Exception):
    """An error with a sentence for people.

    message: what was wrong, one sentence, no trailing advice.
    field: the request field or setting at fault, if one is.
    got: the offending value as text.
    allowed: what would have been accepted.
    fix: what to do next, a command where there is one.
    details: what else is known, such as a provider's own code for it; never a secret.
    """

    details: Mapping[str, str | int | bool | None] = MappingProxyType({})

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        got: object = None,
        allowed: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.message = message
        self.field = None if field is None else _shorten(field)
        self.got = None if got is None else _shorten(str(got))
        self.allowed = allowed
        self.fix = fix
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """Return the whole story in one line: what was wrong, what was got, what is allowed, what to do next."""
        parts = [f"{self.field}: {self.message}" if self.field else self.message]
        if self.got is not None:
            parts.append(f"got {self.got}")
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        if self.fix:
            parts.append(self.fix)
        return "; ".join(part.rstrip(".") for part in parts) + "."

    def advise(self, fix: str) -> None:
        """Replace what to do next, where somebody further up knows better."""
        self.fix = fix
        self.args = (self.sentence(),)

    def as_json(self) -> dict[str, Any]:
        """Return the parts as a JSON object, for ``--json`` and for the job row."""
        told: dict[str, Any] = {
            "type": type(self).__name__,
            "message": self.message,
            "field": self.field,
            "got": self.got,
            "allowed": self.allowed,
            "fix": self.fix,
        }
        return told | ({"details": dict(self.details)} if self.details else {})


class RequestError(StudioError):
    """The request is wrong; the person asking can mend it."""


class NotFound(RequestError):
    """There is nothing of the name or id that was asked for."""


class UnknownModel(NotFound):
    """No row in the catalog has this id."""


class UnsupportedValue(RequestError):
    """A field holds a value that the chosen model does not support."""


class UnreadableMedia(RequestError):
    """An input image, video or sound cannot be read or must not be."""


class OutputRefused(RequestError):
    """The destination is a folder, exists already, or cannot be written."""


class RequestRefused(RequestError):
    """A provider does not accept the request."""


class InputRefused(RequestError):
    """A provider does not accept a picture or video that came with the request."""


class ModelGone(RequestError):
    """A provider does not have the model, or not any more."""


class EnvironmentFault(StudioError):
    """The machine or its set-up is at fault; ``fix`` names the command that mends it."""


class MissingWeights(EnvironmentFault):
    """The model's weights are not on this machine."""


class WeightsMismatch(EnvironmentFault):
    """Weights on disk or on the hub differ from the pinned or recorded ones."""


class MissingKey(EnvironmentFault):
    """A provider's key is not configured."""


class KeyRefused(EnvironmentFault):
    """A provider does not know the key."""


class AccessDenied(EnvironmentFault):
    """A provider knows the key, and does not let it do this: a model, a tier, a region."""


class OutOfCredits(EnvironmentFault):
    """Nothing is left to pay with at the provider."""


class QuotaUsedUp(EnvironmentFault):
    """A provider takes no more orders today or this month."""


class MissingPackage(EnvironmentFault):
    """An optional package is needed and not installed."""


class Unreachable(EnvironmentFault):
    """The network or the hub does not answer, or offline mode forbids asking."""


class OutOfMemory(EnvironmentFault):
    """GPU memory or RAM ran out; the message names which."""


class DiskFull(EnvironmentFault):
    """A disk has no room left."""


class StoreFault(EnvironmentFault):
    """The library's database or folders cannot be used."""


class StoreBusy(StoreFault):
    """Others kept the database locked for longer than anybody should wait; nothing was changed."""


class StoreTaken(StoreFault):
    """What may be there only once was written by somebody else at the same moment; nothing was changed."""


class StoreGone(StoreFault):
    """The connection to the database was lost; nobody knows whether what was just written is there."""


class GenerationFailed(StudioError):
    """The model or the provider failed to produce a clip."""


class SealFailed(GenerationFailed):
    """A clip was made but not sealed; it waits in quarantine and sealing can be retried."""


class ProviderFailed(GenerationFailed):
    """A remote provider refused or failed the job.

    details: as far as they are known: provider, code, http_status, request_id, charged (yes, no or unknown), body.
    """


class Moderated(ProviderFailed):
    """The provider's rules keep it from making or showing the clip. To ask again brings nothing but costs."""


class SubmitUnknown(ProviderFailed):
    """An order was sent, and nobody knows whether it was taken: it is never sent again without consent."""


class RateLimited(ProviderFailed):
    """Too many requests; this one was not taken."""


class TooManyJobs(ProviderFailed):
    """As many jobs as the provider runs at a time for this key are running; this one was not taken."""


class ProviderBroken(ProviderFailed):
    """The provider says that the fault is its own."""


class StillRunning(ProviderFailed):
    """The job goes on at the provider for longer than it is waited for; it can be picked up later."""


class JobExpired(ProviderFailed):
    """The provider does not know the job any more."""


class OutputExpired(ProviderFailed):
    """The job was done, and its result is no longer there."""


class DownloadRefused(ProviderFailed):
    """A result lies where nothing may be fetched from, or is not a video, or larger than any clip."""


class DownloadBroken(ProviderFailed):
    """A result did not come whole."""


class ProtocolError(ProviderFailed):
    """An answer that the provider's own documentation does not allow for."""


class VerificationFailed(StudioError):
    """A verification or a check says no."""


class Canceled(StudioError):
    """Somebody asked for the work to stop."""

    def __init__(self, message: str = "canceled", **parts: str | None) -> None:
        super().__init__(message, **parts)


def _shorten(text: str, limit: int = 200) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
