"""Makes those wait who try one password after the other."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from studio.errors import RequestError

FREE_FAILURES = 5
MAX_KEPT = 10_000
# A stranger who fails on purpose keeps somebody out for no longer than the first; a place has nobody to keep out.
MAX_WAIT_OF_NAME, MAX_WAIT_OF_ADDRESS = 60.0, 900.0
_FORGOTTEN_SECONDS = 3600.0


class TooManyTries(RequestError):
    """Logins failed too often. retry_after: seconds to wait, at least 1."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        seconds = "a second" if retry_after == 1 else f"{retry_after} seconds"
        super().__init__("too many logins failed", field="password", fix=f"wait {seconds} and try again")


@dataclass
class _Record:
    failures: int = 0
    last: float = 0.0


class Throttle:
    """Counts failed logins by name and by address, in the memory of this process, of the latest `MAX_KEPT` of each.

    After `FREE_FAILURES` the waits double from one second on. They are forgotten an hour after the last.
    clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._names: OrderedDict[str, _Record] = OrderedDict()
        self._addresses: OrderedDict[str, _Record] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, name: str, address: str) -> None:
        """Count a try as failed, until `succeeded`: many at the same time are no way around. Raises `TooManyTries`.

        Who came in with this name from this address before does not wait for what others did in this name.
        """
        place = _place(address)
        with self._lock:
            now = self._clock()
            records = []
            if (name, place) not in self._known:
                records.append((_record(self._names, name, now), MAX_WAIT_OF_NAME))
            if place:
                records.append((_record(self._addresses, place, now), MAX_WAIT_OF_ADDRESS))
            wait = max((_wait(record, limit, now) for record, limit in records), default=0.0)
            if wait > 0:
                raise TooManyTries(math.ceil(wait))
            for record, _limit in records:
                record.failures += 1
                record.last = now

    def succeeded(self, name: str, address: str) -> None:
        """Take back what `begin` counted. Other failures of the address stay: those with an account may guess too."""
        place = _place(address)
        with self._lock:
            self._names.pop(name, None)
            record = self._addresses.get(place)
            if record is not None:
                record.failures = max(0, record.failures - 1)
            if place:
                self._known[name, place] = None
                self._known.move_to_end((name, place))
                _shorten(self._known)

    def forget(self, name: str) -> None:
        """Forget what is known of a name, whose password or account is not what it was."""
        with self._lock:
            self._names.pop(name, None)
            for known in [item for item in self._known if item[0] == name]:
                del self._known[known]


def _record(records: OrderedDict[str, _Record], key: str, now: float) -> _Record:
    record = records.get(key)
    if record is None or now - record.last > _FORGOTTEN_SECONDS:
        record = records[key] = _Record(last=now)
    records.move_to_end(key)
    _shorten(records)
    return record


def _wait(record: _Record, limit: float, now: float) -> float:
    surplus = record.failures - FREE_FAILURES
    if surplus < 0:
        return 0.0
    return record.last + min(limit, 2.0 ** min(surplus, 20)) - now


def _shorten(records: OrderedDict[str, _Record] | OrderedDict[tuple[str, str], None]) -> None:
    while len(records) > MAX_KEPT:
        records.popitem(last=False)


def _place(address: str) -> str:
    """Return what one stranger has one of: an IPv4 address, or a network of IPv6, of which all addresses are theirs."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)
