"""What requests would take, worked out in the background: for a large model that takes up to a minute."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from studio.app import Studio
from studio.catalog.schema import ModelSpec
from studio.errors import StudioError, UnsupportedValue
from studio.generator import Estimate
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from studio.resolving.material import ROLES_OF_TASK

MAX_KEPT, AT_A_TIME, KEPT_SECONDS = 400, 2, 300.0
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


class Estimator:
    """Works estimates out beside the page, few at a time, and remembers them for a while. clock: seconds, only forward.

    Not for long: weights arrive, and clips that are made here teach how long they take.
    """

    def __init__(self, studio: Studio, clock: Callable[[], float] = time.monotonic) -> None:
        self._studio = studio
        self._clock = clock
        self._places = threading.Semaphore(AT_A_TIME)
        self._found: OrderedDict[str, tuple[float, Future[Estimated]]] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, spec: ModelSpec, request: GenerationRequest, seconds: float = AT_ONCE_SECONDS) -> Estimated:
        """Return what a request would take, or that it is being worked out. seconds: how long to wait for it.

        A picture that the model cannot do without and that is not there yet is taken to be there.
        """
        request = self._filled(spec, request)
        key = _key(request)
        with self._lock:
            future = self._fresh(key)
            is_new = future is None
            if future is None:
                future = Future()
                self._found[key] = (self._clock(), future)
                while len(self._found) > MAX_KEPT:
                    self._found.popitem(last=False)
            self._found.move_to_end(key)
        if is_new:
            threading.Thread(target=self._work, args=(key, request, future), daemon=True, name="estimate").start()
        return _answer(key, future, seconds)

    def _fresh(self, key: str) -> Future[Estimated] | None:
        at, future = self._found.get(key, (0.0, None))
        is_old = future is not None and future.done() and self._clock() - at > KEPT_SECONDS
        return None if is_old else future

    def known(self, key: str, seconds: float = 0.0) -> Estimated | None:
        """Return what came of an earlier question, None where it is not remembered."""
        with self._lock:
            found = self._found.get(key)
        return None if found is None else _answer(key, found[1], seconds)

    def _work(self, key: str, request: GenerationRequest, future: Future[Estimated]) -> None:
        with self._places:
            try:
                resolved, estimate = self._studio.estimate(request)
                future.set_result(Estimated(key=key, estimate=estimate, resolved=resolved))
            except StudioError as error:
                future.set_result(Estimated(key=key, error=error))
            except Exception as error:  # a plug-in's; whatever it is, somebody waits for an answer
                told = UnsupportedValue(f"nobody knows what it takes ({type(error).__name__})", field="model")
                future.set_result(Estimated(key=key, error=told))

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


def _answer(key: str, future: Future[Estimated], seconds: float) -> Estimated:
    try:
        return future.result(timeout=seconds)
    except TooSlow:
        return Estimated(key=key)


def _key(request: GenerationRequest) -> str:
    """Return what tells requests apart of which the estimates may differ."""
    facts = {name: str(value) for name, value in vars(request).items() if name not in ("options", "conditionings")}
    facts["files"] = str([(item.role.value, str(item.path)) for item in request.conditionings])
    facts["options"] = str(sorted((name, str(value)) for name, value in request.options.items()))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
