"""Real clips for the server to hand out."""

from __future__ import annotations

import io
import subprocess
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import imageio_ffmpeg


@cache
def clip(width: int = 128, height: int = 72, seconds: float = 1.0, *, with_sound: bool = False) -> bytes:
    """Return an MP4 of colours that drift, H.264, 24 frames per second."""
    source = f"gradients=size={width}x{height}:rate=24:speed=0.05:n=4:seed=7:duration={seconds}"
    sound = ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"] if with_sound else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        inputs = ["-f", "lavfi", "-i", source, *sound]
        coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", *inputs, *coding, str(path)]
        subprocess.run(command, check=True, timeout=60)
        return path.read_bytes()


@cache
def signed_clip(width: int = 128, height: int = 72, seconds: float = 1.0) -> bytes:
    """Return a clip with Content Credentials of somebody else, signed with a certificate that nobody trusts."""
    import c2pa

    from tests.studio.provenance.authorities import Authority, new_key, pem

    authority, key = Authority("Somebody Else's Authority"), new_key()
    chain = pem(authority.issue(key)) + pem(authority.certificate)
    trained = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    definition = {
        "claim_generator_info": [{"name": "Somebody Else's Generator", "version": "1.0"}],
        "title": "a clip of a provider",
        "format": "video/mp4",
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": trained}]},
            }
        ],
    }
    signed = io.BytesIO()
    info = c2pa.C2paSignerInfo(b"es256", chain, pem(key), None)
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(definition) as builder:
        builder.sign(signer, "video/mp4", io.BytesIO(clip(width, height, seconds)), signed)
    return signed.getvalue()


@cache
def archive() -> bytes:
    """Return a zip file, which is no clip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("clip.mp4", bytes(2**20))
    return stream.getvalue()


PAGE = b"<!doctype html><html><body><h1>Sign in</h1><p>Your session has ended.</p></body></html>"
