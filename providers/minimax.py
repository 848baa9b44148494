"""MiniMax: H3 by the second version of its interface, Hailuo 2.3 by the first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from providers.faults import Complaint, Kind, complaint_in, complaint_of
from providers.pictures import Attachment, Attachments
from providers.remote import RemoteGenerator
from providers.states import Charge, Result, State, Status
from providers.texts import job_id
from providers.wire import Answer, Call
from studio.errors import (
    JobExpired,
    KeyRefused,
    Moderated,
    OutOfCredits,
    ProtocolError,
    ProviderBroken,
    QuotaUsedUp,
    RateLimited,
    RequestRefused,
    StudioError,
)
from studio.generator import RunContext
from studio.request import ResolvedRequest

_ORDERS, _QUESTIONS = "v2/video_generation", "v2/query/video_generation"
_OLD_ORDERS, _OLD_QUESTIONS, _FILES = "v1/video_generation", "v1/query/video_generation", "v1/files/retrieve"
_CODE = re.compile(r"\((\d{4})\)\s*$")


class MiniMax(RemoteGenerator):
    """Video tasks (https://platform.minimax.io/docs/api-reference/video-generation-v2).

    Errors carry a number of four digits: at the end of their text, as a code of the task, or in ``base_resp``, where it
    comes with HTTP 200 too.
    """

    states: ClassVar[Mapping[str, State]] = {
        "queued": State.QUEUED,
        "running": State.RUNNING,
        "succeeded": State.SUCCEEDED,
        "failed": State.FAILED,
        "cancelled": State.CANCELED,
        "expired": State.EXPIRED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {
        "1000": ProviderBroken,
        "1002": RateLimited,
        "1004": KeyRefused,
        "1008": OutOfCredits,
        "1026": Moderated,
        "1027": Moderated,
        "2013": RequestRefused,
        "2049": KeyRefused,
        "2056": QuotaUsedUp,
    }

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the order; frames decide the shape of the clip themselves."""
        form, frames = self.format_of(request), attachments.first or attachments.last
        pictures = [
            _picture(attachments.first, "first_frame"),
            _picture(attachments.last, "last_frame"),
            *(_picture(item, "reference_image") for item in attachments.references),
        ]
        body: dict[str, Any] = {
            "model": self.model_name(request),
            "content": [{"type": "text", "text": request.prompt}, *(item for item in pictures if item)],
            "duration": self.seconds_of(request),
            "resolution": form.resolution,
            "ratio": "adaptive" if frames else form.aspect_ratio,
        }
        if request.options.get("aigc_watermark"):
            body["aigc_watermark"] = True
        return Call(method="POST", path=_ORDERS, json=body)

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the task's id; a refusal may come as HTTP 200 too."""
        self._refuse(answer, unclear=("1000",))
        return {"id": job_id(str(answer.data["task_id"]))}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Ask by id."""
        return Call(method="GET", path=f"{_QUESTIONS}/{handle['id']}")

    def cancellation(self, handle: Mapping[str, Any]) -> Call | None:
        """Stop a task that waits. The same call throws away the record of one that is done."""
        return Call(method="DELETE", path=f"{_ORDERS}/{handle['id']}")

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:  # noqa: ARG002
        """Read status, error, address and the seconds that were used."""
        self._refuse(answer, unclear=("1000", "1002"))
        task = answer.data.get("task") or answer.data
        word = str(task["status"])
        state = self.state_of(word)
        reason = _numbered(complaint_of(task.get("error")))
        url = str((task.get("content") or {}).get("url") or "")
        return Status(
            word=word,
            state=state,
            failure=self.failure(reason) if state is State.FAILED else None,
            result=Result(url=url) if url else None,
            charge=_charge(task),
        )

    def complaint(self, answer: Answer) -> Complaint:
        """Return code and words of a refusal, wherever they stand."""
        told = _base_response(answer)
        return told if told is not None else _numbered(complaint_in(answer))

    def refusal(self, answer: Answer) -> StudioError:
        """Return the error that a refusal stands for; a task of more than a week ago is no fault of the request."""
        complaint = self.complaint(answer)
        if complaint.code == "2013" and "task_id" in complaint.message:
            return self.fault(JobExpired, complaint, answer=answer, charged="unknown")
        return super().refusal(answer)

    def _refuse(self, answer: Answer, *, unclear: tuple[str, ...]) -> None:
        """Raise what an answer with HTTP 200 refuses. unclear: codes that prove nothing about the task."""
        told = _base_response(answer)
        if told is None and "error" in answer.data:
            told = self.complaint(answer)
        if told is None:
            return
        if told.code in unclear:
            raise self.fault(ProtocolError, told, answer=answer, charged="unknown")
        raise self.refusal(answer)


class Hailuo(MiniMax):
    """The first version (https://platform.minimax.io/docs/guides/video-generation), where a clip is a file of its own.

    Its words are the second version's in other clothes; a task cannot be stopped.
    """

    states: ClassVar[Mapping[str, State]] = {
        "preparing": State.QUEUED,
        "queueing": State.QUEUED,
        "processing": State.RUNNING,
        "success": State.SUCCEEDED,
        "fail": State.FAILED,
    }

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the order; a first frame decides the shape of the clip itself."""
        body: dict[str, Any] = {
            "model": self.model_name(request),
            "prompt": request.prompt,
            "duration": self.seconds_of(request),
            "resolution": self.format_of(request).resolution,
        }
        if attachments.first is not None:
            body["first_frame_image"] = attachments.first.link
        return Call(method="POST", path=_OLD_ORDERS, json=body)

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Ask by id."""
        return Call(method="GET", path=_OLD_QUESTIONS, params={"task_id": handle["id"]})

    def cancellation(self, handle: Mapping[str, Any]) -> None:
        """Return nothing: there is no such call."""

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:  # noqa: ARG002
        """Read status and code; where the clip is, is asked for in `result`."""
        word = str(answer.data.get("status") or "")
        state = self.state_of(word)
        if state is State.FAILED:
            return Status(word=word, state=state, failure=self.failure(_base_response(answer) or Complaint(code=word)))
        self._refuse(answer, unclear=("1000", "1002"))
        return Status(word=str(answer.data["status"]), state=state)

    def result(self, status: Status, handle: Mapping[str, Any], run: RunContext) -> Result:  # noqa: ARG002
        """Ask which file the clip is, and where that lies."""
        told = self.ask(self.question(handle), run)
        self._refuse(told, unclear=())
        try:
            question = Call(method="GET", path=_FILES, params={"file_id": job_id(str(told.data["file_id"]))})
            found = self.ask(question, run)
            self._refuse(found, unclear=())
            return Result(url=str(found.data["file"]["download_url"]))
        except (KeyError, TypeError) as error:
            complaint = Complaint(message="the task is done and names no clip")
            raise self.fault(ProtocolError, complaint, charged="unknown") from error


def _picture(attachment: Attachment | None, role: str) -> dict[str, Any] | None:
    if attachment is None:
        return None
    return {"type": "image_url", "image_url": {"url": attachment.link}, "role": role}


def _base_response(answer: Answer) -> Complaint | None:
    """Return what ``base_resp`` says, None where it is not there or says that all is well."""
    try:
        found = answer.data.get("base_resp")
    except ProtocolError:
        return None
    if not isinstance(found, dict) or found.get("status_code") in (0, None):
        return None
    return Complaint(code=str(found["status_code"]), message=str(found.get("status_msg") or ""))


def _numbered(complaint: Complaint) -> Complaint:
    """Return a complaint whose code is the number at the end of its text, if there is one."""
    found = _CODE.search(complaint.message)
    return complaint if found is None else Complaint(code=found[1], message=complaint.message, field=complaint.field)


def _charge(task: Mapping[str, Any]) -> Charge | None:
    """Return the seconds that were used: of the clip, and of videos that came with the order."""
    usage = task.get("usage") or {}
    seconds = usage.get("total_seconds", usage.get("seconds"))
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
        return None
    return Charge(units=float(seconds), unit="second")
