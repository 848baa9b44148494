"""Speaks to the model hub through huggingface_hub: which files a model needs, and how they get into the hub's cache.

Nothing but safetensors, JSON and tokenizer files is ever fetched: a pickle can run code when it is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from studio.catalog.schema import Weights
from studio.disk import is_full
from studio.errors import (
    DiskFull,
    EnvironmentFault,
    MissingKey,
    MissingWeights,
    StudioError,
    Unreachable,
    WeightsMismatch,
)

_SAFE_SUFFIXES = (".safetensors", ".json", ".jinja")
_TOKENIZER_FILES = frozenset(
    ("merges.txt", "vocab.txt", "spiece.model", "tokenizer.model", "sentencepiece.model", "sentencepiece.bpe.model")
)
_PLAIN_SHARD = re.compile(r"[^.]+\.safetensors(\.index\.json)?")
_SPARE_BYTES = 64 << 20  # room for symbolic links, locks and the file system's own books
_PIPELINE_INDEX = "model_index.json"
_PARTIAL = ".studio-incomplete"


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file of a repository. sha256: None where the hub does not say (small files outside its large-file store)."""

    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class HubListing:
    """The files a model needs, by path, at one commit."""

    commit: str
    files: Mapping[str, HubFile]


@dataclass(frozen=True, kw_only=True)
class Hub:
    """Where the hub is and where its files are kept.

    endpoint: address without a trailing slash. cache: folder of repositories. offline: nothing may be asked.
    """

    endpoint: str
    cache: Path
    offline: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Hub:
        """Read HF_ENDPOINT, HF_HUB_CACHE, HF_HOME and HF_HUB_OFFLINE by huggingface_hub's own rules."""
        home = environment.get("HF_HOME") or Path(environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
        cache = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
        offline = environment.get("HF_HUB_OFFLINE") or environment.get("TRANSFORMERS_OFFLINE") or ""
        return cls(
            endpoint=(environment.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/"),
            cache=Path(cache).expanduser(),
            offline=offline.upper() in {"1", "ON", "YES", "TRUE"},
        )

    def repository_folder(self, repository: str) -> Path:
        """Return the cache's folder for this repository."""
        return self.cache / f"models--{repository.replace('/', '--')}"

    def snapshot_folder(self, repository: str, commit: str) -> Path:
        """Return the folder in which this commit's files appear, laid out as in the repository."""
        return self.repository_folder(repository) / "snapshots" / commit

    def list_files(self, weights: Weights) -> HubListing:
        """Ask the hub which files of the repository this model needs, at the pinned commit or the newest one."""
        with self._asking(weights.repository):
            import huggingface_hub

            api = huggingface_hub.HfApi(endpoint=self.endpoint, token=huggingface_hub.get_token() or False)
            info = api.model_info(weights.repository, revision=weights.revision, files_metadata=True)
            if not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):  # it becomes the name of a folder
                raise ValueError(f"not a commit: {info.sha!r}")
        if weights.revision is not None and info.sha != weights.revision:
            raise WeightsMismatch(
                f"the hub answers with another commit of {weights.repository}",
                field="weights.revision",
                got=info.sha,
                allowed=weights.revision,
            )
        offered = dict(_offered(info.siblings or ()))
        chosen = choose_files(offered, self._components(weights, info.sha, offered), weights)
        return HubListing(commit=info.sha, files={path: offered[path] for path in chosen})

    def fetch(
        self, repository: str, commit: str, path: str, expected_sha256: str | None, on_bytes: Callable[[int], None]
    ) -> str:
        """Bring one file into the cache, going on where an earlier attempt stopped; return its sha256.

        on_bytes: called with the number of bytes that arrived, first with those already here; it may raise to stop.
        The file appears in the cache only when it is whole and has the expected digest.
        """
        _refuse_escape(path)
        with self._asking(repository):
            blob, address, size, headers = self._look_up(repository, commit, path)
            partial = blob.with_name(f"{blob.name}{_PARTIAL}")
            if blob.exists():
                on_bytes(blob.stat().st_size)
            else:
                _download(address, headers, partial, size, on_bytes)
        arrived = blob if blob.exists() else partial
        sha256 = hash_file(arrived)
        if sha256 != (expected_sha256 or sha256):
            arrived.unlink()
            raise WeightsMismatch(
                f"{repository} on the hub holds other bytes than expected",
                field=path,
                got=sha256,
                allowed=expected_sha256,
                fix="run the same command again; if that does not help, the repository was changed or tampered with",
            )
        with self._asking(repository):
            if arrived is partial:
                partial.replace(blob)
            self._link(repository, commit, path)
        return sha256

    def partial_bytes(self, repository: str) -> int:
        """Return how much of unfinished downloads is already here."""
        blobs = self.repository_folder(repository) / "blobs"
        return sum(partial.stat().st_size for partial in blobs.glob(f"*{_PARTIAL}"))

    def require_room(self, needed_bytes: int) -> None:
        """Raise `DiskFull` unless the cache's disk has room for this many bytes more."""
        folder = next(folder for folder in (self.cache, *self.cache.parents) if folder.exists())
        free = shutil.disk_usage(folder).free
        if free < needed_bytes + _SPARE_BYTES:
            raise _disk_full(self.cache, f"{needed_bytes + _SPARE_BYTES:,} bytes are needed, {free:,} are free")

    def _components(self, weights: Weights, commit: str, offered: Mapping[str, HubFile]) -> frozenset[str]:
        """Return the folders that the pipeline's own index names; empty where a repository has no index."""
        if _PIPELINE_INDEX not in offered:
            return frozenset()
        self.fetch(weights.repository, commit, _PIPELINE_INDEX, weights.sha256.get(_PIPELINE_INDEX), lambda _: None)
        index = self.snapshot_folder(weights.repository, commit) / _PIPELINE_INDEX
        try:
            return pipeline_components(json.loads(index.read_text(encoding="utf-8")))
        except (ValueError, AttributeError) as error:
            raise MissingWeights(
                f"the {_PIPELINE_INDEX} of {weights.repository} cannot be read", field="weights.repository"
            ) from error

    def _look_up(self, repository: str, commit: str, path: str) -> tuple[Path, str, int | None, dict[str, str]]:
        """Return where a file's bytes will be kept, where they are to be had, how many they are, and what to send."""
        import huggingface_hub
        from huggingface_hub.utils import build_hf_headers

        url = huggingface_hub.hf_hub_url(repository, path, revision=commit, endpoint=self.endpoint)
        token = huggingface_hub.get_token() or False
        found = huggingface_hub.get_hf_file_metadata(url, token=token, endpoint=self.endpoint)
        if found.commit_hash != commit or found.etag is None or not re.fullmatch(r"[\w-]+", found.etag):
            raise WeightsMismatch(
                f"the hub answers with another commit of {repository}",
                field=path,
                got=found.commit_hash,
                allowed=commit,
            )
        is_own_host = urlsplit(found.location).netloc == urlsplit(self.endpoint).netloc
        headers = build_hf_headers(token=token if is_own_host else False)  # a storage host must not see the token
        blobs = self.repository_folder(repository) / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        return blobs / found.etag, found.location, found.size, headers

    def _link(self, repository: str, commit: str, path: str) -> None:
        """Make a file that lies among the cache's blobs appear in the snapshot; nothing is transferred."""
        import huggingface_hub

        huggingface_hub.hf_hub_download(
            repository,
            path,
            revision=commit,
            cache_dir=self.cache,
            endpoint=self.endpoint,
            token=huggingface_hub.get_token() or False,
        )

    @contextlib.contextmanager
    def _asking(self, repository: str) -> Iterator[None]:
        """Refuse to ask when offline, keep telemetry off, and turn what goes wrong into the studio's errors."""
        if self.offline:
            raise Unreachable(
                "the model hub may not be asked, offline mode is on",
                field="HF_HUB_OFFLINE",
                fix="unset HF_HUB_OFFLINE and try again",
            )
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        import huggingface_hub.constants

        huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True  # it may have been imported, and have read it, before
        try:
            yield
        except (StudioError, KeyboardInterrupt):
            raise
        except Exception as error:
            if (translated := self._translate(error, repository)) is None:
                raise
            raise translated from error

    def _translate(self, error: Exception, repository: str) -> StudioError | None:
        """Return the studio's error for one of huggingface_hub's. Never repeats its text, which quotes the server."""
        status = getattr(getattr(error, "response", None), "status_code", None)
        page = f"{self.endpoint}/{repository}"
        if status in {401, 403}:
            return MissingKey(
                f"the hub does not open {repository} to this account, or has no such repository",
                field="HF_TOKEN",
                fix=f"accept the licence at {page}, create a token at {self.endpoint}/settings/tokens and set HF_TOKEN",
            )
        if status == 404:
            return MissingWeights(f"the hub has no such repository, commit or file: {repository}", fix=f"see {page}")
        if status is not None:
            return Unreachable(f"the model hub answers with an error (HTTP {status})", fix="try again later")
        if is_full(error):
            return _disk_full(self.cache, "the disk filled up during the download")
        if isinstance(error, OSError) and error.errno is not None:
            return EnvironmentFault(
                f"the hub's cache cannot be used ({error.strerror})",
                field="HF_HUB_CACHE",
                got=error.filename or self.cache,
                fix="set HF_HUB_CACHE to a folder this user can write",
            )
        if isinstance(error, OSError) or type(error).__module__.startswith(("httpx", "httpcore")):
            return Unreachable(
                f"the model hub does not answer, or the transfer broke off ({urlsplit(self.endpoint).netloc})",
                fix="check the connection and run the same command again, it goes on where it stopped",
            )
        if isinstance(error, ValueError | KeyError):
            return Unreachable(
                f"{urlsplit(self.endpoint).netloc} does not answer {repository} as a model hub does",
                field="HF_ENDPOINT",
                fix="check HF_ENDPOINT, or whether this network asks for a login first",
            )
        return None


def is_weights_file(path: str) -> bool:
    """Say whether a file is one the studio reads: safetensors, JSON, a tokenizer's words; never code or pickles."""
    return path.endswith(_SAFE_SUFFIXES) or PurePosixPath(path).name in _TOKENIZER_FILES


def pipeline_components(index: Mapping[str, Any]) -> frozenset[str]:
    """Return the component folders that a ``model_index.json`` names, without those left empty (``[null, null]``)."""
    return frozenset(name for name, value in index.items() if isinstance(value, list) and all(value))


def choose_files(offered: Mapping[str, HubFile], components: frozenset[str], weights: Weights) -> tuple[str, ...]:
    """Return the files to fetch: those the row allows, or one variant of each of the pipeline's components."""
    safe = [path for path in sorted(offered) if is_weights_file(path)]
    if weights.allow:
        chosen = [path for path in safe if any(fnmatchcase(path, pattern) for pattern in weights.allow)]
    else:
        folders = {folder: [path for path in safe if path.startswith(f"{folder}/")] for folder in sorted(components)}
        chosen = [path for paths in folders.values() for path in _of_variant(paths, weights)]
        chosen += [_PIPELINE_INDEX] * (_PIPELINE_INDEX in offered)
    if not any(path.endswith(".safetensors") for path in chosen):
        raise MissingWeights(
            f"{weights.repository} holds no safetensors for this model",
            field="weights.repository",
            allowed="a repository laid out for diffusers; pickled weights are never fetched",
        )
    return tuple(sorted(chosen))


def hash_file(path: Path, on_bytes: Callable[[int], None] = lambda _: None) -> str:
    """Return the sha256 of a file, telling `on_bytes` how many bytes each read brought."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(4 << 20):
            digest.update(chunk)
            on_bytes(len(chunk))
    return digest.hexdigest()


def _of_variant(paths: list[str], weights: Weights) -> list[str]:
    """Return one component's files in one precision: the row's variant where there is one, else the plain one."""
    tensors = {path: PurePosixPath(path).name for path in paths if ".safetensors" in path}
    special = [path for path, name in tensors.items() if weights.variant and f".{weights.variant}" in name]
    plain = [path for path, name in tensors.items() if _PLAIN_SHARD.fullmatch(name)]
    if tensors and not (special or plain):
        raise MissingWeights(
            f"{weights.repository} has no plain weights of {PurePosixPath(paths[0]).parts[0]}",
            field="weights.variant",
            got=weights.variant or "none",
            allowed=", ".join(tensors.values()),
        )
    return [path for path in paths if path not in tensors] + (special or plain)


def _offered(siblings: Any) -> Iterator[tuple[str, HubFile]]:
    for sibling in siblings:
        sha256 = sibling.lfs.sha256 if sibling.lfs is not None else None
        yield sibling.rfilename, HubFile(size_bytes=sibling.size or 0, sha256=sha256)


def _download(
    address: str, headers: dict[str, str], partial: Path, size: int | None, on_bytes: Callable[[int], None]
) -> None:
    from huggingface_hub.file_download import http_get

    here = partial.stat().st_size if partial.exists() else 0
    if size is not None and here > size:
        partial.unlink()
        here = 0
    on_bytes(here)
    with partial.open("ab") as file:
        http_get(
            address, file, resume_size=here, headers=headers, expected_size=size, tqdm_class=_meter_class(on_bytes)
        )


def _meter_class(on_bytes: Callable[[int], None]) -> type[Any]:
    """Return the least that `http_get` needs of a progress bar, reporting to `on_bytes` and printing nothing."""

    class Meter(contextlib.nullcontext["Meter"]):
        def __init__(self, **_: object) -> None:
            super().__init__(self)

        def update(self, count: int) -> None:
            on_bytes(count)

    return Meter


def _refuse_escape(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise WeightsMismatch("the hub names a file outside the repository", field="path", got=path)


def _disk_full(folder: Path, detail: str) -> DiskFull:
    return DiskFull(
        f"not enough room for the weights: {detail}",
        field="HF_HUB_CACHE",
        got=folder,
        fix="free some space, or set HF_HUB_CACHE to a folder on a larger disk",
    )
