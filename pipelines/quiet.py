"""Keeps model libraries from writing on the terminal: the studio says itself what people should know."""

from __future__ import annotations


def quiet_libraries() -> None:
    """Let diffusers and transformers speak of errors only, and draw no progress bars. Imports both."""
    _import_torchao()
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def _import_torchao() -> None:
    """Have torchao, where it is installed, imported before diffusers does, which lets it speak of missing kernels."""
    import importlib
    import importlib.util
    import logging

    if importlib.util.find_spec("torchao") is None:
        return
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        importlib.import_module("torchao")
    except ImportError:  # broken: it is asked for again, and named, where weights are to be kept by it
        pass
    finally:
        logging.disable(before)
