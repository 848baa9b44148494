"""The steps that all providers have in common: order once, remember, ask until it is done, fetch.

An adapter says how an order looks and what the answers mean; how often something is sent, what is kept when, and what
happens when the line breaks is decided here alone.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx

from providers.adapter import Adapter
from providers.deaf import Deaf
from providers.download import Origin, fetch_clip, keep_clip
from providers.faults import Complaint
from providers.pictures import Attachment, attachments_of
from providers.states import Result, State, Status
from providers.texts import keepable, with_warning
from providers.wire import Answer, Call, Wire, briefly, patient
from studio.errors import (
    Canceled,
    EnvironmentFault,
    JobExpired,
    Moderated,
    OutputExpired,
    ProtocolError,
    ProviderBroken,
    ProviderFailed,
    RequestError,
    StillRunning,
    StudioError,
    SubmitUnknown,
)
from studio.generator import Estimate, RunContext
from studio.jobs.failure import error_from
from studio.media import EncodedClip
from studio.redaction import redact
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolve import resolve
from studio.spending.pricing import price_basis, price_of

SUBMITTING, SUBMITTED, UNKNOWN, ENDED = "submitting", "submitted", "unknown", "ended"
_MAX_STRANGE_ANSWERS = 5
CANCEL_SECONDS = 30.0  # somebody who wants to go waits for this
_BYTES_PER_SECOND_OF_CLIP = 2_000_000


class RemoteGenerator(Adapter):
    """A model at a provider: what its adapter says, and the order in which it is done."""

    # -- the generator ------------------------------------------------------------------------------------------

    def missing(self) -> str:
        """Return one sentence on what is missing, or an empty string."""
        return self._keys.missing(self.remote)

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill and check a request by the model's row."""
        return with_warning(self.spec, resolve(self.spec, request))

    def estimate(self, resolved: ResolvedRequest) -> Estimate:
        """Say what the request will cost, by the row's list prices."""
        seconds = float(resolved.num_frames / resolved.frame_rate)
        return Estimate(
            seconds=None,
            vram_bytes=0,
            ram_bytes=300_000_000,
            disk_bytes=round(2 * seconds * _BYTES_PER_SECOND_OF_CLIP),
            cost=price_of(self.spec, resolved),
            basis=price_basis(self.spec),
        )

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold the connection. Raises `MissingKey`."""
        _ = self.key
        self._wire = Wire(
            name=self.remote.provider_name,
            base_url=self.base_url,
            authorize=self.authorization,
            poll_seconds=self.remote.poll_seconds,
            transport=self._transport,
        )
        try:
            yield
        finally:
            self._wire.close()
            self._wire = None

    def generate(self, resolved: ResolvedRequest, run: RunContext) -> EncodedClip:
        """Order a clip, once, and wait for it."""
        run.stage("encoding")
        tag = f"studio-{secrets.token_hex(12)}"
        try:
            attachments = attachments_of(resolved, self.remote, run.note, lambda item: self._linked(item, run))
            call = self.order(resolved, attachments, tag)
            run.raise_if_canceled()
        except StudioError as error:  # whatever it is, nothing was ordered
            error.details = {"provider": self.remote.provider, **error.details, "charged": "no"}
            raise
        run.stage("ordering")
        operation: dict[str, Any] = {
            "provider": self.remote.provider,
            "model": self.model_name(resolved),
            "tag": tag,
            "state": SUBMITTING,
            "sent_at": datetime.now(UTC).isoformat(),
        }
        run.save_operation(operation)
        operation = self._submitted(operation, call, run)
        return self._wait(operation, run)

    def resume(self, operation: Mapping[str, Any], run: RunContext) -> EncodedClip:
        """Pick up an order: wait for it, or find out whether it was taken. Nothing is ever ordered here.

        Raises `SubmitUnknown` where nobody can tell, and what an order ended with that has come to nothing.
        """
        if operation.get("state") == ENDED:
            raise error_from(operation["error"])
        if operation.get("state") == SUBMITTED:
            return self._wait(operation, run)
        run.stage("ordering")
        handle = self._reconciled(str(operation.get("tag", "")), run)
        if handle is None:
            run.save_operation({**operation, "state": UNKNOWN})
            raise self._unknown("the process ended, or the line broke, while the order was sent")
        found = {**operation, "state": SUBMITTED, "handle": handle}
        run.save_operation(found)
        return self._wait(found, run)

    # -- inside -------------------------------------------------------------------------------------------------

    def _linked(self, attachment: Attachment, run: RunContext) -> Attachment:
        limits = self.remote.video if attachment.mime_type.startswith("video/") else self.remote.image
        match None if limits is None else limits.transport:
            case "data-uri":
                return replace(attachment, link=attachment.data_uri)
            case "base64":
                return replace(attachment, link=attachment.base64)
            case "upload":
                run.stage("uploading")
                return replace(attachment, link=self.upload(attachment, run))
        return attachment

    def _submitted(self, operation: dict[str, Any], call: Call, run: RunContext) -> dict[str, Any]:
        """Send the order. What is known of it is kept, whatever happens; a refusal leaves nothing to be kept."""
        try:
            answer = self.wire.order(call)
        except SubmitUnknown as error:
            run.save_operation({**operation, "state": UNKNOWN})
            error.details = {"provider": self.remote.provider, **error.details}
            raise
        except EnvironmentFault:
            run.forget_operation()
            raise
        if answer.status >= 300:
            run.forget_operation()
            raise self.refusal(answer)
        try:
            handle = keepable(self.handle(answer))
        except (StudioError, KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
            if isinstance(error, RequestError | EnvironmentFault) or _was_refused(error):
                run.forget_operation()  # some refuse with HTTP 200 and a code in the body
                raise
            run.save_operation({**operation, "state": UNKNOWN})
            raise self._unknown("an answer that names no job", answer) from error
        done = {**operation, "state": SUBMITTED, "handle": handle}
        run.save_operation(done)
        return done

    def _unknown(self, what: str, answer: Answer | None = None) -> SubmitUnknown:
        error = self.wire.unknown(what, answer)
        error.details = {"provider": self.remote.provider, **error.details}
        return error

    def _reconciled(self, tag: str, run: RunContext) -> dict[str, Any] | None:
        """Return the handle of an order of which only our name for it is known; None where nobody can tell."""
        for call in self.lookups(tag) if tag else ():
            answer = self.wire.ask(call, lambda seconds: patient(seconds, run.raise_if_canceled))
            if answer.status >= 300:
                continue
            with suppress(ProtocolError, KeyError, TypeError, ValueError, IndexError):
                handle = self.found(answer, tag)
                if handle is not None:
                    return handle
        return None

    def _wait(self, operation: Mapping[str, Any], run: RunContext) -> EncodedClip:
        handle: Mapping[str, Any] = operation["handle"]
        fetching: RunContext = run
        try:
            try:
                status = self._until_done(handle, run)
            except KeyboardInterrupt as interrupt:
                status, fetching = self._canceled(handle, run, interrupt), Deaf(run)
            except Canceled as canceled:
                if canceled.details:  # the provider's own word
                    raise
                status, fetching = self._canceled(handle, run, canceled), Deaf(run)
            return self._fetched(status, handle, fetching)
        except StudioError as error:
            if error.details.get("ended"):
                run.save_operation({**operation, "state": ENDED, "error": error.as_json()})
            elif error.details.get("charged") == "no":  # the question was free; what was ordered goes on
                error.details = {**error.details, "charged": "unknown"}
            elif not error.details and not isinstance(error, Canceled):  # the clip was made, or nobody knows
                charged = "yes" if isinstance(error, OutputExpired) else "unknown"
                error.details = {"provider": self.remote.provider, "charged": charged}
            raise

    def _until_done(self, handle: Mapping[str, Any], run: RunContext) -> Status:
        """Ask until the job has succeeded. Raises how it ended else, `StillRunning` after the row's deadline."""
        end = time.monotonic() + self.remote.deadline_seconds
        strange, told, shown = 0, set[str](), ""
        while True:
            try:
                status = self._asked(handle, run)
                strange = 0
            except ProtocolError:
                strange += 1
                if strange >= _MAX_STRANGE_ANSWERS:
                    raise
                status = Status(word="", state=State.RUNNING)
            if status.state is None and status.word not in told:
                told.add(status.word)
                word = redact(status.word)[:60]
                run.note(
                    f"{self.remote.provider_name} says {word!r} of the job, which is not documented: still waiting"
                )
            if status.state in (State.FAILED, State.CANCELED):
                _bill(status, run)
            if self._is_done(status):
                return status
            shown = self._show(status, run, shown)
            if time.monotonic() > end:
                raise StillRunning(
                    f"{self.remote.provider_name} has not finished the job in time",
                    got=f"{self.remote.deadline_seconds:.0f} s, {redact(status.word)}",
                    fix="`studio queue retry` waits on for it, and orders nothing",
                )
            patient(max(self.remote.poll_seconds, status.wait_seconds or 0.0), run.raise_if_canceled)

    def _asked(self, handle: Mapping[str, Any], run: RunContext) -> Status:
        try:
            answer = self.ask(self.question(handle), run, is_poll=True)
        except StudioError as error:
            if error.details.get("http_status") in (404, 410):
                gone = self.fault(JobExpired, Complaint(message=error.got or ""), charged="unknown")
                gone.details = {**error.details, "charged": "unknown"}
                gone.message = f"{self.remote.provider_name} does not know the job any more"
                gone.advise("look for the clip at the provider: it may be paid for")
                raise gone from error
            raise
        try:
            return self.status(answer, handle)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
            raise self.fault(
                ProtocolError, Complaint(message=type(error).__name__), answer=answer, charged="unknown"
            ) from error

    def _is_done(self, status: Status) -> bool:
        """Say whether a job has succeeded; raise how it ended else."""
        match status.state:
            case State.SUCCEEDED:
                return True
            case State.FAILED | State.NEEDS_INPUT:
                raise _ended(status.failure or self.failure(Complaint(message=status.word)))
            case State.CANCELED:
                canceled = Canceled(f"the job was canceled at {self.remote.provider_name}")
                charged = "unknown" if status.charge is None else status.charge.word
                canceled.details = {"provider": self.remote.provider, "charged": charged}
                raise _ended(canceled)
            case State.EXPIRED:
                raise status.failure or self.fault(JobExpired, Complaint(message=status.word), charged="unknown")
        return False

    def _show(self, status: Status, run: RunContext, shown: str) -> str:
        """Tell how far the job is. shown: the stage that was told last. Returns the one that is told now."""
        stage = "waiting" if status.state is State.QUEUED else "generating"
        name = self.remote.provider_name
        detail = redact(f"{name}: {status.note}" if status.note else name)[:80]
        if f"{stage} {detail}" != shown:
            run.stage(stage, detail)
        if status.percent is not None and stage == "generating":
            run.progress(status.percent, 100)
        return f"{stage} {detail}"

    def _canceled(self, handle: Mapping[str, Any], run: RunContext, canceled: BaseException) -> Status:
        """Stop the job at the provider. Returns its status if it is done all the same: it is paid for and kept."""
        quiet = Deaf(run, CANCEL_SECONDS)
        name, remote = self.remote.provider_name, self.remote
        call = self.cancellation(handle) if remote.cancel != "none" else None
        refused: StudioError | None = None
        words, charged = f"{name} cannot stop a job: it goes on there, and costs what it costs", "yes"
        waits = False
        if call is not None:
            before = self._look(handle, quiet)
            if before is not None and before.state is State.SUCCEEDED:  # to stop it now may be to throw it away
                return before
            waits = before is not None and before.state is State.QUEUED
            try:
                answer = self.wire.ask(call, briefly(CANCEL_SECONDS))
                refused = None if answer.status < 300 else self.refusal(answer)
            except StudioError as trouble:
                refused = trouble
            if refused is None:
                free = None if waits and not remote.cancel_refunds else remote.cancel_refunds
                charged = {True: "no", False: "yes", None: "unknown"}[free]
                costs = {True: "it costs nothing", False: "it is paid for all the same", None: "it may still cost"}
                words = f"{name} was told to stop the job: {costs[free]}"
            else:
                words, charged = (
                    f"{name} did not stop the job ({refused.message}): it may go on there, and cost",
                    "unknown",
                )
        if call is None or charged == "unknown":
            after = self._look(handle, quiet)
            if after is not None and after.state is State.SUCCEEDED:
                return after
        is_stopped = call is not None and refused is None
        error = Canceled(words)
        error.details = {"provider": remote.provider, "charged": charged, "ended": is_stopped}
        raise error from canceled

    def _look(self, handle: Mapping[str, Any], run: RunContext) -> Status | None:
        """Return how the job stands, None where that cannot be had now."""
        with suppress(StudioError):
            return self._asked(handle, run)
        return None

    def _fetched(self, status: Status, handle: Mapping[str, Any], run: RunContext) -> EncodedClip:
        """Fetch the clip of a job that is done; an address that has run out is asked for once more."""
        _bill(status, run)
        if status.filtered:
            run.note(
                f"{self.remote.provider_name} withheld {status.filtered} of {status.filtered + status.outputs} clips"
            )
        if status.outputs > 1:
            run.note(f"{self.remote.provider_name} made {status.outputs} clips; the first is kept")
        run.stage("downloading")
        try:
            return self._downloaded(self._result(status, handle, run), run)
        except OutputExpired:
            fresh = self._asked(handle, run)
            self._is_done(fresh)
            return self._downloaded(self._result(fresh, handle, run), run)

    def _result(self, status: Status, handle: Mapping[str, Any], run: RunContext) -> Result:
        """Return where the clip is; a job that turns out to have failed after all has ended."""
        try:
            return self.result(status, handle, run)
        except (Moderated, ProviderBroken, RequestError) as error:
            raise _ended(error) from error.__cause__

    def _downloaded(self, result: Result, run: RunContext) -> EncodedClip:
        if result.content:
            return keep_clip(result.content, run.workdir)
        headers, url = {}, result.url
        if result.call is not None:
            headers = {**self.authorization(), **result.call.headers}
            url = str(httpx.URL(self.wire.address(result.call)).copy_merge_params(dict(result.call.params)))
        origin = Origin(
            name=self.remote.provider_name, base_url=self.base_url, headers=headers, transport=self._transport
        )
        return fetch_clip(url, run.workdir, origin, lambda seconds: patient(seconds, run.raise_if_canceled))


def _bill(status: Status, run: RunContext) -> None:
    """Write down what the provider says that a job cost, if it does."""
    if status.charge is not None:
        run.bill(status.charge.cost, units=status.charge.units, unit=status.charge.unit)


def _was_refused(error: Exception) -> bool:
    """Say whether an adapter found a refusal in an answer, rather than nonsense."""
    return isinstance(error, ProviderFailed) and not isinstance(error, ProtocolError | SubmitUnknown)


def _ended(error: StudioError) -> StudioError:
    """Return an error with which an order has come to its end: asking for it again would bring nothing."""
    error.details = {**error.details, "ended": True}
    return error
