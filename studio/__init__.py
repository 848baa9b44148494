"""The domain of the local video studio: requests, media, catalog, library, and the gate every output leaves through."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("local-video-studio")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+source"
