"""Nothing opens a socket unless the user configured an authority for the time: seen from inside and from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studio.provenance.authorities import time_authority
from tests.studio.provenance.conftest import counting_server

# Python tells its audit hook of every socket; the signing library's own calls would go to the proxy of the environment.
PROGRAM = """
import json, sys
from pathlib import Path
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith("socket.") else None)
from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.registry import Registry
from studio.request import Conditioning, GenerationRequest, Role
from tests.fakes import write_scripted_rows
studio = Studio()
rows = write_scripted_rows(Path(sys.argv[1]))
studio.__dict__["registry"] = Registry(load_catalog((rows,)), studio.settings)
outcome = studio.generate(GenerationRequest(model="scripted-moving", seed=1))
studio.identity.show(), studio.identity.trust(), studio.identity.rotate()
studio.identity.waiting_stamps()
studio.verify(outcome.asset.path)
from studio.export.selftest import seal_a_test_clip
state = seal_a_test_clip(studio.settings)
studio.store.close()
print(json.dumps({"state": state, "sockets": sorted(set(seen) - {"socket.gethostname"})}))
"""


def run(folder: Path, proxy_url: str, **more: str) -> dict[str, object]:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    kept = (name for name in os.environ if not name.startswith("STUDIO_") and name.lower() != "no_proxy")
    environment = {name: os.environ[name] for name in kept}
    environment |= dict.fromkeys(names, proxy_url) | {"STUDIO_HOME": str(folder / "home")} | more
    command = [sys.executable, "-c", PROGRAM, str(folder / "rows")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_making_signing_and_verifying_open_no_socket(tmp_path: Path) -> None:
    with counting_server() as (url, calls):
        assert run(tmp_path, url) == {"state": "trusted", "sockets": []}
    assert calls == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the test's authority needs openssl")
def test_the_same_look_sees_the_sockets_of_a_configured_authority(tmp_path: Path) -> None:
    with counting_server() as (url, calls), time_authority(tmp_path / "authority") as authority:
        found = run(tmp_path, url, STUDIO_TIMESTAMP_URL=authority.url)
        assert authority.calls == 1  # for the clip; the self-test bothers nobody
    assert "socket.connect" in str(found["sockets"])
    assert calls == []  # what stays on this machine is asked of no proxy
