"""Signing, verifying and adding ingredients open no socket: not from Python, and not from native code."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from studio.app import Studio
from tests.studio.inspection.conftest import Ffmpeg
from tests.studio.inspection.sealing import seal_frames
from tests.studio.media_files import pan, write_mp4

ROOT = Path(__file__).parents[3]

# Seals a clip made from a file that points to a server, then verifies it, that file, a stripped copy and a picture.
SCRIPT = """
import sys
events = []
sys.addaudithook(lambda name, _args: events.append(name) if name.startswith("socket.") else None)
from dataclasses import replace
from pathlib import Path
from studio.app import Studio
from studio.config import Settings
from studio.export.signer import sign
from studio.provenance.certificates import load_or_create
from studio.provenance.manifest import build_manifest
from studio.provenance.origin import Origin
from studio.request import GenerationRequest
from tests.studio.inspection.sealing import seal_frames
from tests.studio.media_files import pan
from tests.studio.provenance.conftest import MARK, provenance_of
folder = Path(sys.argv[1])
studio = Studio(Settings())
sealed = seal_frames(studio, pan(9))
assert studio.verify(sealed).c2pa.state == "trusted"
remote, made = folder / "remote.mp4", folder / "made.mp4"
provenance = provenance_of(Origin.CONDITIONED_VIDEO, parent=remote)
sign(sealed, made, mime_type="video/mp4", manifest=build_manifest(provenance, title="x", watermark=MARK),
     ingredients=provenance.ingredients, identity=load_or_create(studio.settings.identity_folder))
assert studio.verify(made).c2pa.ingredients[0].state == "absent"
told = studio.verify(remote)
assert "kept on a server" in told.reason, told.reason
assert studio.verify(folder / "plain.mp4").c2pa.state == "absent"
assert studio.verify(folder / "picture.png").c2pa.state == "absent"
studio.store.close()
assert events == [], events
print("no socket")
"""


@contextmanager
def listener() -> Iterator[tuple[str, list[int]]]:
    """A server that counts who calls."""
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    calls.append(1)
                    connection.close()
            except OSError:
                return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa", calls
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)


@pytest.fixture
def room(tmp_path: Path, studio: Studio, ffmpeg: Ffmpeg) -> Path:
    """A folder with a plain clip and a plain picture."""
    write_mp4(tmp_path / "plain.mp4", pan(9))
    ffmpeg(tmp_path / "plain.mp4", "picture.png", "-frames:v", "1")
    return tmp_path


def point_to(url: str, source: Path, destination: Path) -> None:
    """Write a copy of a clip whose only record is the address of one."""
    import c2pa

    from studio.provenance.certificates import load_or_create
    from studio.provenance.trust import identity_list, offline_settings

    identity = load_or_create(destination.parent / "somebody")
    context = c2pa.Context(c2pa.Settings.from_dict(offline_settings([identity_list(identity)])))
    source_type = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": source_type}]}
    definition = {"claim_generator_info": [{"name": "x"}], "assertions": [{"label": "c2pa.actions", "data": actions}]}
    builder = c2pa.Builder(definition, context)
    builder.set_no_embed()
    builder.set_remote_url(url)
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", identity.chain_pem, identity.key_pem, None))
    with source.open("rb") as raw, destination.open("w+b") as out:
        builder.sign(signer, "video/mp4", raw, out)


def run(command: list[str], tmp_path: Path) -> str:
    environment = {**os.environ, "STUDIO_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_python_opens_no_socket_and_the_named_server_is_not_called(room: Path) -> None:
    with listener() as (url, calls):
        point_to(url, room / "plain.mp4", room / "remote.mp4")
        assert "no socket" in run([sys.executable, "-c", SCRIPT, str(room)], room)
        assert calls == []
        import c2pa

        with pytest.raises(Exception, match="fetch"), (room / "remote.mp4").open("rb") as file:
            c2pa.Reader("video/mp4", file)  # the library's own way does call: the trap works
        assert calls == [1]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_native_code_opens_no_socket_either(room: Path) -> None:
    with listener() as (url, calls):
        point_to(url, room / "plain.mp4", room / "remote.mp4")
        trace = room / "trace"
        strace = ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", str(trace)]
        if subprocess.run([*strace, "true"], capture_output=True).returncode != 0:
            pytest.skip("strace may not trace here")
        run([*strace, sys.executable, "-c", SCRIPT, str(room)], room)
        assert calls == []
    opened = [line for line in trace.read_text().splitlines() if re.search(r"AF_INET|connect\(", line)]
    assert opened == []
    run([*strace, sys.executable, "-c", "import socket; socket.socket()"], room)
    assert "AF_INET" in trace.read_text()  # the trap works


def test_the_seal_used_here_is_the_real_one(studio: Studio) -> None:
    assert studio.verify(seal_frames(studio, pan(9))).c2pa.trust_list == "this studio"
