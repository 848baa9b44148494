"""What a provider's documentation says, in small methods: how an order looks, and what the answers mean."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx

from providers.faults import BY_STATUS, Charged, Complaint, Kind, complaint_in, error_of, kind_of
from providers.pictures import Attachment, Attachments
from providers.states import Result, State, Status
from providers.wire import Answer, Call, Wire, is_web_address, patient
from studio.catalog.remote import Format, Remote
from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import EnvironmentFault, ProtocolError, ProviderFailed, StudioError, UnsupportedValue
from studio.generator import RunContext
from studio.keys import KeyChain, missing_key
from studio.redaction import redact
from studio.request import ResolvedRequest


class Adapter:
    """One provider's words. A provider's class overrides what stands below "what an adapter says".

    states: the provider's words, in lower case, and what they mean. kinds: its error codes; a key that ends with ``*``
    stands for all that begin so. charged: of which kinds of errors the provider says that they cost.
    transport: takes the place of the network.
    """

    states: ClassVar[Mapping[str, State]] = {}
    kinds: ClassVar[Mapping[str, Kind]] = {}
    charged: ClassVar[Mapping[Kind, Charged]] = {}

    def __init__(self, spec: ModelSpec, settings: Settings, *, transport: httpx.BaseTransport | None = None) -> None:
        if spec.remote is None:
            raise EnvironmentFault("the model's row has no [remote] table", field="model", got=spec.id)
        self.spec = spec
        self.remote: Remote = spec.remote
        self._settings = settings
        self._transport = transport
        self._keys = KeyChain()
        self._wire: Wire | None = None

    # -- what an adapter says -----------------------------------------------------------------------------------

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:
        """Return the call that orders a clip. tag: a name of ours, for providers that let a job have one."""
        raise NotImplementedError

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return what the job is found by later, from the answer to the order. No secret, no presigned address.

        Raises `ProtocolError` or KeyError for an answer that names no job.
        """
        raise NotImplementedError

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Return the call that asks how a job stands."""
        raise NotImplementedError

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:
        """Return what the answer to `question` means. Raises `ProtocolError` or KeyError for nonsense."""
        raise NotImplementedError

    def result(self, status: Status, handle: Mapping[str, Any], run: RunContext) -> Result:  # noqa: ARG002
        """Return where a finished job's clip is; it may ask once more by `ask`. Raises what went wrong after all."""
        if status.result is None:
            raise self.fault(ProtocolError, Complaint(message="the job is done and names no clip"), charged="unknown")
        return status.result

    def cancellation(self, handle: Mapping[str, Any]) -> Call | None:  # noqa: ARG002
        """Return the call that stops a job; None where there is none."""
        return None

    def lookups(self, tag: str) -> tuple[Call, ...]:  # noqa: ARG002
        """Return the calls that may find a job by our name of it, to be tried in turn; none where there is none."""
        return ()

    def found(self, answer: Answer, tag: str) -> dict[str, Any] | None:  # noqa: ARG002
        """Return the handle of the job with our name, from an answer to `lookups`; None if there is no such job."""
        return None

    def complaint(self, answer: Answer) -> Complaint:
        """Return what a refusal says."""
        return complaint_in(answer)

    def authorization(self) -> dict[str, str]:
        """Return the headers that hold the key."""
        return {"authorization": f"Bearer {self.key}"} if self.key else {}

    def upload(self, attachment: Attachment, run: RunContext) -> str:  # noqa: ARG002
        """Send a file ahead of the order and return what stands for it; for rows whose transport is ``upload``."""
        raise UnsupportedValue(f"{self.remote.provider_name} takes no uploads", field=attachment.role.value)

    # -- what an adapter may ask --------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """The key; empty where the provider may do without."""
        found = self._keys.find(self.remote)
        if found is None and self.remote.needs_key:
            raise missing_key(self.remote)
        return "" if found is None else found.reveal()

    @property
    def base_url(self) -> str:
        """Where the provider is: the row's address, or what the user has set in its place."""
        url = os.environ.get(self.remote.base_url_variable, "").strip().rstrip("/")
        if url and not _is_base_url(url):
            raise EnvironmentFault(
                "not a web address",
                field=self.remote.base_url_variable,
                got=redact(url),
                allowed="https://..., without a name, a password or a question mark",
                fix="correct it, or unset the variable",
            )
        url = url or self.remote.base_url
        has_key = self._keys.find(self.remote) is not None
        if has_key and urlsplit(url).scheme == "http" and not _is_near(urlsplit(url).hostname or ""):
            raise EnvironmentFault(
                "the key would travel over plain http, readable by everybody on the way",
                field=self.remote.base_url_variable,
                got=redact(url),
                allowed="https://..., or http:// to this machine or a private network",
            )
        return url

    @property
    def wire(self) -> Wire:
        """The connection, inside `session`."""
        if self._wire is None:
            raise RuntimeError("the generator is used outside its session")
        return self._wire

    def ask(self, call: Call, run: RunContext, *, is_poll: bool = False) -> Answer:
        """Ask a question that may be repeated; raise the error that a refusal stands for."""
        answer = self.wire.ask(call, lambda seconds: patient(seconds, run.raise_if_canceled), is_poll=is_poll)
        if answer.status >= 300:
            raise self.refusal(answer)
        return answer

    def model_name(self, request: ResolvedRequest) -> str:
        """Return the provider's name of the model: the row's, or what the option ``model`` says."""
        return str(request.options.get("model") or self.remote.model)

    def format_of(self, request: ResolvedRequest) -> Format:
        """Return the row's format with the size that was asked for."""
        fitting = (
            item
            for item in self.spec.parameters.formats
            if (item.width, item.height) == (request.width, request.height)
            and (not item.tasks or request.task in item.tasks)
        )
        found = next(fitting, None)
        if found is None:
            got = f"{request.width}x{request.height}"
            raise UnsupportedValue(f"{self.spec.id} does not do this size", field="width x height", got=got)
        return found

    def seconds_of(self, request: ResolvedRequest) -> int:
        """Return the length that was asked for, in whole seconds."""
        return round(request.num_frames / request.frame_rate)

    def state_of(self, word: str) -> State | None:
        """Return what one of the provider's words means; None for an unknown one."""
        return self.states.get(word.lower())

    def fault(
        self, kind: Kind, complaint: Complaint, *, answer: Answer | None = None, charged: Charged | None = None
    ) -> StudioError:
        """Return an error of this kind. charged: by default what the adapter says of the kind, else no."""
        return error_of(
            self.remote,
            kind,
            complaint,
            answer=answer,
            charged=charged or self.charged.get(kind, "no"),
        )

    def failure(self, complaint: Complaint, default: Kind = ProviderFailed) -> StudioError:
        """Return why a job failed, from the provider's code and words. Such a job has ended."""
        kind = kind_of(complaint.code, self.kinds) or default
        unsure: Charged = "unknown" if issubclass(kind, ProviderFailed) else "no"
        error = self.fault(kind, complaint, charged=self.charged.get(kind, unsure))
        error.details = {**error.details, "ended": True}
        return error

    def refusal(self, answer: Answer) -> StudioError:
        """Return the error that a refusal stands for: by the provider's code, else by the HTTP status."""
        complaint = self.complaint(answer)
        kind = kind_of(complaint.code, self.kinds) or BY_STATUS.get(answer.status, ProtocolError)
        return self.fault(kind, complaint, answer=answer)


def _is_base_url(text: str) -> bool:
    """Say whether a text is the address of a server, and no more than that."""
    if not is_web_address(text):
        return False
    url = httpx.URL(text)
    return url.scheme in ("http", "https") and bool(url.host) and not (url.userinfo or url.query or url.fragment)


def _is_near(host: str) -> bool:
    """Say whether a host is this machine, or has an address of a private network."""
    try:
        address = ipaddress.ip_address(host)
        return not (address.is_global or address.is_link_local)  # a cloud's metadata service is no provider
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal", ".lan", ".home.arpa"))
