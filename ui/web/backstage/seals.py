"""Whether the seals of the library's own files hold: looked at once for each state that a file is in."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from studio.app import Studio
from studio.errors import StoreFault
from studio.library.asset import Asset
from ui.api.problems import without_home
from ui.web.views.verification import seal_view, verification_view

MAX_KEPT, MAX_WHOLE = 2000, 50
_Key = tuple[str, str, int, int]


class Seals:
    """Remembers what a verification said of a file, for as long as size and time of change stay what they were."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._kept: OrderedDict[_Key, dict[str, Any]] = OrderedDict()
        self._whole: OrderedDict[_Key, dict[str, Any]] = OrderedDict()
        self._guard = threading.Lock()

    def known(self, asset: Asset) -> dict[str, Any] | None:
        """Return what is known of a file as it is now, None if nobody has looked. Raises `StoreFault` if it is gone."""
        key = _key(asset)
        with self._guard:
            return self._kept.get(key)

    def look(self, asset: Asset) -> dict[str, Any]:
        """Verify a file, and remember what came of it. Takes a second or more."""
        key = _key(asset)
        found = self._studio.verify(asset.path, search=False, with_checklist=False)
        told: dict[str, Any] = without_home(seal_view(found), self._studio.settings.home)
        self._keep(self._kept, key, told, MAX_KEPT)
        return told

    def known_whole(self, asset: Asset) -> dict[str, Any] | None:
        """Return everything that was found in a file as it is now, None if nobody has looked. Raises as `known`."""
        key = _key(asset)
        with self._guard:
            return self._whole.get(key)

    def look_whole(self, asset: Asset) -> dict[str, Any]:
        """Find out everything about a file, and remember it. Takes seconds."""
        key = _key(asset)
        told = verification_view(self._studio.verify(asset.path), self._studio.settings.home, name=asset.path.name)
        self._keep(self._whole, key, told, MAX_WHOLE)
        return told

    def _keep(self, kept: OrderedDict[_Key, dict[str, Any]], key: _Key, told: dict[str, Any], most: int) -> None:
        with self._guard:
            kept[key] = told
            while len(kept) > most:
                kept.popitem(last=False)


def _key(asset: Asset) -> _Key:
    try:
        facts = asset.path.stat()
    except OSError as error:
        reason = f"the file of this asset cannot be read ({error.strerror or error})"
        raise StoreFault(reason, field="asset", got=asset.id) from error
    return asset.id, asset.sha256, facts.st_mtime_ns, facts.st_size
