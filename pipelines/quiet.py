"""Keeps model libraries from writing on the terminal: the studio says itself what people should know."""

from __future__ import annotations


def quiet_libraries() -> None:
    """Let diffusers and transformers speak of errors only, and draw no progress bars. Imports both."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
