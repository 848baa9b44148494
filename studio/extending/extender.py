"""Makes a clip longer: window after window, then all of it through the gate as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from studio.catalog.schema import ModelSpec
from studio.consistency.seam_drift import drift_lines
from studio.disk import require_room
from studio.export.derivation import Wish
from studio.exports import Exports
from studio.extending.course import Course, model_of, plot, role_of
from studio.extending.finishing import Finisher
from studio.extending.joining import Join, join
from studio.extending.parent import Parent, find_parent
from studio.extending.windows import Run, WindowMaker, find_run
from studio.extending.wish import ExtendWish, Extension, Window
from studio.generator import Cost
from studio.jobs.budget import OverBudget
from studio.jobs.context import Observer
from studio.jobs.job import JobWish, Progress
from studio.jobs.workshop import Workshop
from studio.library.asset import Asset
from studio.media import Image
from studio.request import Conditioning, Role
from studio.spending.ledger import REMOTE
from studio.spending.money import Money

_ROOM = "extend-"
# Raw frames of the finished clip: where it is joined, in quarantine, and as much again for the sealed files.
_COPIES = 3


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What one call is about. room: a folder for what is needed until the clip is sealed."""

    wish: ExtendWish
    parent: Parent
    spec: ModelSpec
    course: Course
    run: Run
    seed: int
    room: Path

    @property
    def last_frame(self) -> Path:
        """Where the clip's last frame lies as a picture."""
        return self.room / "last-frame.png"


class Extender:
    """Extends clips of one library. remove: deletes an asset that was made on the way."""

    def __init__(self, shop: Workshop, exports: Exports, remove: Callable[[str], object]) -> None:
        self._shop = shop
        self._exports = exports
        self._remove = remove

    def extend(
        self,
        wish: ExtendWish,
        *,
        observe: Observer = lambda _progress: None,
        warn: Callable[[str], None] = lambda _text: None,
        is_canceled: Callable[[], bool] = lambda: False,
    ) -> Extension:
        """Return the sealed longer clip. warn: told before the work starts.

        Everything that can be refused is refused before any work. Windows that an earlier call for the same wish
        finished, and that did not come to its end, are not made again.
        Raises any `StudioError`. What was made until then is kept: the same call again goes on from there.
        """
        wish.require_sense()
        parent = find_parent(wish.clip, self._shop.store)
        catalog = self._shop.registry.catalog
        spec = catalog.get(model_of(wish, parent, catalog))
        digest = wish.digest(parent.sha256, spec.id)
        with self._room(digest) as room:
            work = self._plotted(wish, parent, spec, find_run(self._shop.store, digest), room)
            for text in _remarks(work):
                warn(text)
            with WindowMaker(self._shop, observe, is_canceled) as maker:
                assets = self._windows(work, maker, observe)
            extension = self._finished(work, assets, observe)
            self._tidy(work, extension.windows)
        return extension

    @contextmanager
    def _room(self, digest: str) -> Iterator[Path]:
        """Hold this extension against all other processes, and give it a folder; kept while a run goes on later.

        Raises `InWork`.
        """
        name = _ROOM + digest
        with self._shop.quarantine.lock(name):
            try:
                yield self._shop.quarantine.folder(name)
            finally:
                if find_run(self._shop.store, digest).is_new:
                    self._shop.quarantine.discard(name)

    def _plotted(self, wish: ExtendWish, parent: Parent, spec: ModelSpec, run: Run, room: Path) -> _Work:
        """Settle what is to be made, and refuse what cannot be."""
        generator = self._shop.registry.generator(spec.id)
        role, _ = role_of(wish, parent, spec)
        picture = room / "last-frame.png"
        _write_picture(picture, parent.last)
        end = Conditioning(role=role, path=picture if role is Role.FIRST_FRAME else parent.path)
        course = plot(wish, parent, generator, end)
        self._shop.require_ready(spec.id)
        raw_bytes = course.num_frames * parent.width * parent.height * 3
        require_room(room, _COPIES * raw_bytes, what="the finished clip")
        if spec.where == REMOTE and wish.max_cost is not None:
            _require_within(wish.max_cost, generator.estimate(course.window).cost, course.num_windows)
        seed = course.window.seed if run.seed is None else run.seed
        return _Work(wish=wish, parent=parent, spec=spec, course=course, run=run, seed=seed, room=room)

    # -- windows ------------------------------------------------------------------------------------------------

    def _windows(self, work: _Work, maker: WindowMaker, observe: Observer) -> list[Asset]:
        """Return all windows, those that an earlier call finished as they are."""
        made: list[Asset] = []
        for number in range(1, work.course.num_windows + 1):
            show = _told_of(f"window {number} of {work.course.num_windows}", observe)
            job = maker.known(work.run.key(number))
            if job is not None:
                made.append(maker.go_on(job, show))
                continue
            show(Progress(stage="cutting"))
            end = self._end(work, made[-1] if made else work.parent.asset)
            request = work.course.request(number, end, work.seed)
            resolved = self._shop.registry.generator(work.spec.id).resolve(request)
            made.append(maker.make(resolved, _job_wish(work, number), show))
        return made

    def _end(self, work: _Work, last: Asset | None) -> Conditioning:
        """Return the end of what there is as a sealed file of the library; of a file from elsewhere, as a picture."""
        role, overlap = work.course.role, work.course.overlap
        if last is None:
            return Conditioning(role=role, path=work.last_frame)
        if role is Role.FIRST_FRAME:
            cut = self._exports.make(last.id, ".png", Wish(frame=-1))
        else:
            start = Fraction(last.num_frames - overlap) / last.frame_rate
            cut = self._exports.make(last.id, ".mp4", Wish(start=start))
        return Conditioning(role=role, path=cut.path)

    # -- the whole ----------------------------------------------------------------------------------------------

    def _finished(self, work: _Work, assets: list[Asset], observe: Observer) -> Extension:
        """Join the windows to the clip and seal the whole, from wherever an earlier call came to."""
        parent, course = work.parent, work.course
        finisher = Finisher(shop=self._shop, wish=work.wish, parent=parent, course=course, job_id=work.run.id,
                            seed=work.seed)  # fmt: skip
        plan = Join.of([parent.path, *(asset.path for asset in assets)], size=(parent.width, parent.height),
                       frame_rate=parent.frame_rate, overlap=course.overlap,
                       most_frames=None if work.wish.duration_seconds is None else course.num_frames)  # fmt: skip
        windows = _placed(assets, plan, is_kept=work.wish.keeps_windows)
        notes: tuple[str, ...] = ()
        if not finisher.is_joined:
            observe(Progress(stage="joining"))
            joined = join(plan, work.room)
            finisher.keep(joined, windows)
            notes = joined.notes
        drift = finisher.drift()
        asset = finisher.seal(observe)
        notes += tuple(f"drift: {line}" for line in drift_lines(drift))
        return Extension(asset=asset, parent_id=None if parent.asset is None else parent.asset.id,
                         parent_sha256=parent.sha256, windows=windows, drift=drift, notes=notes)  # fmt: skip

    def _tidy(self, work: _Work, windows: Sequence[Window]) -> None:
        """Delete what is in the finished clip now: the ends that were cut out, and windows that are not kept."""
        before = None if work.parent.asset is None else work.parent.asset.id
        for window in windows:
            digests = {item["sha256"] for item in window.asset.request["conditionings"]}
            cuts = () if before is None else self._shop.store.children(before)
            for cut in cuts:
                if cut.sha256 in digests:
                    self._remove(cut.id)
            before = window.asset.id
        for window in windows:
            if not window.is_kept:
                self._remove(window.asset.id)


def _placed(assets: Sequence[Asset], plan: Join, *, is_kept: bool) -> tuple[Window, ...]:
    """Return where each window is in the whole. What a provider made is kept: its file as it came lies beside it."""
    found = zip(assets, plan.seams, plan.lengths[1:], strict=False)
    return tuple(
        Window(number=number, asset=asset, first_frame=start, num_frames=length,
               is_kept=is_kept or asset.master is not None)
        for number, (asset, start, length) in enumerate(found, 1)
    )  # fmt: skip


def _job_wish(work: _Work, number: int) -> JobWish:
    """A visible label is drawn into the finished clip alone; drawn into a window, the next would go on from it."""
    most, wish = work.wish.max_cost, work.wish
    share = None if most is None else replace(most, amount=most.amount / work.course.num_windows)
    key = work.run.key(number)
    return JobWish(client_key=key, label="none", on_fail=wish.on_fail, max_cost=share, owner=wish.owner)


def _told_of(where: str, observe: Observer) -> Observer:
    """Return an observer that also says which window it is about."""
    return lambda progress: observe(replace(progress, detail=", ".join(filter(None, (where, progress.detail)))))


def _remarks(work: _Work) -> Iterator[str]:
    """Yield what should be known before the work starts."""
    course, parent = work.course, work.parent
    yield from course.window.warnings if course.role is Role.FIRST_FRAME else ()
    own = "" if parent.asset is None else parent.asset.prompt
    if work.wish.prompt is None and course.window.prompt and own:
        yield "prompt: the clip's own is used; --prompt says something else"
    if not work.run.is_new:
        yield "an earlier run of this did not come to its end: it goes on from there, and keeps its seed"


def _require_within(most: Money, each: Cost | None, number: int) -> None:
    """Raise `OverBudget` where the windows together may cost more than was wished, or nobody knows what."""
    if each is None or each.currency.upper() != most.currency:
        raise OverBudget("nobody knows what the windows would cost in this currency", field="max_cost", got=most,
                         fix="leave --max-cost out to have them made all the same")  # fmt: skip
    if each.amount * number > most.amount + 1e-6:
        total = Money(amount=each.amount * number, currency=most.currency)
        raise OverBudget("the windows together may cost more", field="max_cost", got=most,
                         allowed=f"{total} or more for {number} windows")  # fmt: skip


def _write_picture(path: Path, image: Image) -> None:
    import PIL.Image

    PIL.Image.fromarray(image).save(path)
