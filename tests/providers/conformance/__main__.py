"""Runs the server by itself: `python -m tests.providers.conformance`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time

from tests.providers.conformance import contracts
from tests.providers.conformance.clips import clip, signed_clip
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.server import ConformanceServer


def main() -> None:
    """Serve until somebody stops it. The first line says where it is, the second which variables lead there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--signed", action="store_true", help="clips with Content Credentials of somebody else")
    parser.add_argument("--size", default="640x360", help="of the clips, in pixels")
    parser.add_argument("--seconds", type=float, default=2.0, help="of the clips")
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    width, height = (int(side) for side in asked.size.split("x"))
    content = (signed_clip if asked.signed else clip)(width, height, asked.seconds)
    found = contracts()
    with ConformanceServer(found, port=asked.port, clip=content) as server:
        server.reset(Faults(brief=True))
        variables = {
            contract.name: {
                "model": contract.model,
                "environment": server.environment(contract),
                "options": dict(contract.options),
            }
            for contract in found
        }
        sys.stdout.write(f"{server.url}\n{json.dumps(variables)}\n")
        sys.stdout.flush()
        while True:
            time.sleep(3600)


def _stop(*_: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
