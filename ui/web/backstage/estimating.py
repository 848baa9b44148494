"""What requests would take, worked out in the background: for a large model that takes up to a minute."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from studio.app import Studio
from studio.catalog.schema import ModelSpec
from studio.errors import StudioError, UnsupportedValue
from studio.generator import Estimate
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from studio.resolving.material import ROLES_OF_TASK

MAX_KEPT, AT_A_TIME, MAX_WAITING, KEPT_SECONDS = 400, 2, 32, 300.0
# So long a listener waits for an answer; what takes longer is looked at again.
AT_ONCE_SECONDS = 0.15
# Takes the place of prompts: what a clip shows changes nothing about what it takes.
PROMPT = "a large yellow star moving right on a navy background"
_STAND_IN_SIDE = 1024


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """An answer. key: to ask for it again. estimate: None while it is worked out, or where there was an error.

    resolved: the request with nothing left open, its prompt and seed apart.
    """

    key: str
    estimate: Estimate | None = None
    resolved: ResolvedRequest | None = None
    error: StudioError | None = None

    @property
    def is_pending(self) -> bool:
        return self.estimate is None and self.error is None


@dataclass(eq=False)
class _Question:
    """at: when it was asked. is_begun: whether it stands in line, or stood; else it does when it is asked again."""

    key: str
    request: GenerationRequest
    at: float
    answer: Future[Estimated] = field(default_factory=Future)
    is_begun: bool = False


class Estimator:
    """Works estimates out beside the page, few at a time, and remembers them for a while. clock: seconds, only forward.

    Not for long: weights arrive, and clips that are made here teach how long they take. Few stand in line: whoever
    asks beyond that is told that it is not known yet, and it is begun when they ask again and there is room.
    """

    def __init__(self, studio: Studio, clock: Callable[[], float] = time.monotonic) -> None:
        self._studio = studio
        self._clock = clock
        self._found: OrderedDict[str, _Question] = OrderedDict()
        self._waiting: deque[_Question] = deque()
        self._workers = 0
        self._lock = threading.Lock()

    def ask(self, spec: ModelSpec, request: GenerationRequest, seconds: float = AT_ONCE_SECONDS) -> Estimated:
        """Return what a request would take, or that it is being worked out. seconds: how long to wait for it.

        A picture that the model cannot do without and that is not there yet is taken to be there.
        """
        request = self._filled(spec, request)
        key = _key(request)
        with self._lock:
            question = self._fresh(key)
            if question is None:
                question = self._found[key] = _Question(key, request, self._clock())
            self._found.move_to_end(key)
            while len(self._found) > MAX_KEPT:
                self._forget(self._found.popitem(last=False)[1])
            self._begin(question)
        return _answer(question, seconds)

    def known(self, key: str, seconds: float = 0.0) -> Estimated | None:
        """Return what came of an earlier question, None where it is not remembered."""
        with self._lock:
            question = self._found.get(key)
            if question is None:
                return None
            self._begin(question)
        return _answer(question, seconds)

    def close(self) -> None:
        """Leave what stands in line, and remove the picture that took the place of others."""
        with self._lock:
            while self._found:
                self._forget(self._found.popitem()[1])
        if "_folder" in self.__dict__:  # else it would be made to be removed
            self._folder.cleanup()

    def _fresh(self, key: str) -> _Question | None:
        question = self._found.get(key)
        is_old = question is not None and question.answer.done() and self._clock() - question.at > KEPT_SECONDS
        return None if is_old else question

    def _begin(self, question: _Question) -> None:
        """Let a question stand in line if there is room. Called with the lock held."""
        if question.is_begun or len(self._waiting) >= MAX_WAITING:
            return
        question.is_begun = True
        self._waiting.append(question)
        if self._workers < AT_A_TIME:
            self._workers += 1
            threading.Thread(target=self._work, daemon=True, name="estimate").start()

    def _forget(self, question: _Question) -> None:
        if question in self._waiting:
            self._waiting.remove(question)
        question.answer.cancel()

    def _work(self) -> None:
        """Answer those that stand in line, and end with the line."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._workers -= 1
                    return
                question = self._waiting.popleft()
            if question.answer.set_running_or_notify_cancel():
                question.answer.set_result(self._found_out(question))

    def _found_out(self, question: _Question) -> Estimated:
        key = question.key
        try:
            resolved, estimate = self._studio.estimate(question.request)
        except StudioError as error:
            return Estimated(key=key, error=error)
        except Exception as error:  # a plug-in's; whatever it is, somebody waits for an answer
            told = UnsupportedValue(f"nobody knows what it takes ({type(error).__name__})", field="model")
            return Estimated(key=key, error=told)
        return Estimated(key=key, estimate=estimate, resolved=resolved)

    def _filled(self, spec: ModelSpec, request: GenerationRequest) -> GenerationRequest:
        prompt = "" if spec.parameters.prompt == "unused" else PROMPT
        request = replace(request, prompt=prompt, negative_prompt="", seed=None)
        needed = min((ROLES_OF_TASK[task] for task in spec.tasks), key=len)
        if request.conditionings or Role.SOURCE_VIDEO in needed:
            return request
        items = tuple(Conditioning(role=role, path=self._stand_in) for role in needed)
        return replace(request, conditionings=items)

    @cached_property
    def _folder(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="studio-estimate-")

    @cached_property
    def _stand_in(self) -> Path:
        import PIL.Image

        path = Path(self._folder.name) / "picture.png"
        PIL.Image.new("RGB", (_STAND_IN_SIDE, _STAND_IN_SIDE), (128, 128, 128)).save(path)
        return path


def _answer(question: _Question, seconds: float) -> Estimated:
    try:
        return question.answer.result(timeout=seconds)
    except (TooSlow, CancelledError):
        return Estimated(key=question.key)


def _key(request: GenerationRequest) -> str:
    """Return what tells requests apart of which the estimates may differ."""
    facts = {name: str(value) for name, value in vars(request).items() if name not in ("options", "conditionings")}
    facts["files"] = str([(item.role.value, str(item.path)) for item in request.conditionings])
    facts["options"] = str(sorted((name, str(value)) for name, value in request.options.items()))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
