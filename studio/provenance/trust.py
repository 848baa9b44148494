"""Settings for the C2PA library: which roots are trusted, and that nothing ever goes online."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Newline-separated purposes a signer's certificate may have: C2PA, document signing, e-mail.
_PURPOSES = "1.3.6.1.4.1.62558.2.1\n1.3.6.1.5.5.7.3.36\n1.3.6.1.5.5.7.3.4\n"


def offline_settings(anchors_pem: bytes, *, created_labels: Sequence[str] = ()) -> dict[str, Any]:
    """Return settings that trust these roots, verify after signing, and open no socket.

    Without them the library fetches the manifest that a stranger's file points to: a way to make this
    computer call an address of the stranger's choice.
    """
    trust = {"user_anchors": anchors_pem.decode(), "trust_config": _PURPOSES} if anchors_pem else {}
    return {
        "verify": {
            "verify_after_reading": True,
            "verify_after_sign": True,
            "verify_trust": True,
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
        },
        "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
        "trust": trust,
        "builder": {"thumbnail": {"enabled": False}, "created_assertion_labels": list(created_labels)},
    }
