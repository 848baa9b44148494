"""Importing the package stays light: heavy libraries load inside the functions that need them."""

from __future__ import annotations

import subprocess
import sys

MODULES = [
    "certificates",
    "explain",
    "inspect",
    "issuing",
    "keys",
    "manifest",
    "origin",
    "own_certificate",
    "signers",
    "stamp_queue",
    "timestamps",
    "trust",
    "watermark",
]
HEAVY = {"c2pa", "cv2", "cryptography", "torch", "gradio", "av"}


def test_importing_everything_loads_nothing_heavy() -> None:
    imports = "; ".join([*(f"import studio.provenance.{name}" for name in MODULES), "import studio.export.signer"])
    program = f"import sys; {imports}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.split() == []
