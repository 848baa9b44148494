"""From a model id to the generator that serves it, and whether it would run here.

A plug-in adds models without touching the studio. It ships a folder of catalog files (the format of
``studio/catalog/models/*.toml``), whose rows name the plug-in's own generator classes, and points at the folder with an
entry point in its ``pyproject.toml``::

    [project.entry-points."studio.generators"]
    acme = "acme_video:MODELS"

    # acme_video/__init__.py (keep it light: it is imported whenever the catalog is read)
    MODELS = Path(__file__).parent / "models"

A user's own rows, of checkpoints that nobody else has, lie in ``STUDIO_HOME/catalog/*.toml``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from studio.catalog.loader import Catalog, Folder, load_catalog
from studio.catalog.schema import ModelSpec, Status
from studio.config import Settings
from studio.errors import EnvironmentFault, MissingPackage, StudioError, UnsupportedValue
from studio.generator import Generator
from studio.weights import WeightStore

ENTRY_POINT_GROUP = "studio.generators"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Readiness:
    """Whether a model would run here. reason: one sentence on what is missing; empty when ready. word: it in short."""

    ready: bool
    reason: str = ""
    word: str = "ready"


@runtime_checkable
class KnowsWhatIsMissing(Protocol):
    """A remote generator that can tell, without the network, what it lacks, such as its key."""

    def missing(self) -> str:
        """Return one sentence on what is missing, or an empty string."""


class Registry:
    """Resolves the classes that the catalog names as strings, each on first use."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self.catalog = catalog
        self.settings = settings
        self._weights = WeightStore(settings)
        self._generators: dict[str, Generator] = {}
        self._construction = threading.Lock()  # two generators of one model would load its weights twice

    def generator(self, model_id: str) -> Generator:
        """Return the generator of this model, the same one each time and by whichever of its names.

        Raises `UnknownModel`, `UnsupportedValue` for a retired or unserved model, `MissingPackage`.
        """
        spec = self.catalog.get(model_id)
        with self._construction:
            if spec.id not in self._generators:
                self._generators[spec.id] = self._construct(spec)
            return self._generators[spec.id]

    def readiness(self, spec: ModelSpec) -> Readiness:
        """Say whether this model would run here. Loads neither torch nor weights."""
        questions: Mapping[str, Callable[[ModelSpec], str]] = {
            "retired": _retired,
            "not served": _unserved,
            "no package": _missing_package,
            "no weights": self._missing_weights,
            "no key": self._missing_for_remote,
        }
        for word, question in questions.items():
            if reason := question(spec):
                return Readiness(ready=False, reason=reason, word=word)
        return Readiness(ready=True)

    def _construct(self, spec: ModelSpec) -> Generator:
        if reason := _retired(spec) or (spec.generator is None and _unserved(spec)):
            served = ", ".join(other.id for other in self.catalog if not _retired(other) and other.generator)
            instead = spec.retirement and spec.retirement.replacement
            raise UnsupportedValue(reason.rstrip("."), field="model", got=spec.id, allowed=instead or served)
        return _import_class(spec)(spec, self.settings)

    def _missing_weights(self, spec: ModelSpec) -> str:
        if spec.weights is None or self._weights.is_present(spec):
            return ""
        if spec.weights.source == "embedded":
            return "The weights that ship with the studio are not here; install the studio again."
        return f"The weights are not on this machine; run `studio models pull {spec.id}`."

    def _missing_for_remote(self, spec: ModelSpec) -> str:
        if spec.where != "remote":
            return ""
        try:
            generator = self.generator(spec.id)
            return generator.missing() if isinstance(generator, KnowsWhatIsMissing) else ""
        except StudioError as error:
            return error.sentence()


def load_catalog_with_plugins(own: Path | None = None) -> Catalog:
    """Read the studio's rows, those of every installed plug-in, and the user's own.

    own: a folder of catalog files, for checkpoints that only this user has; it need not be there.
    What cannot be read never stops the studio: it is left out and named in `Catalog.faults`.
    """
    faults: list[str] = []
    folders: list[Folder] = []
    catalog = load_catalog()
    sources: list[tuple[str, Callable[[], Folder]]] = [
        (f"The plug-in {point.name!r} ({point.value})", partial(_folder_of, point)) for point in _plugins()
    ]
    if own is not None and own.is_dir():
        sources.append((f"The folder {own}", lambda: own))
    for name, find in sources:
        try:
            folder = find()
            catalog = load_catalog((*folders, folder))
            folders.append(folder)
        except Exception as error:  # somebody else's code: whatever it raises must not take the studio down
            sentence = f"{name} was left out: {error}"
            _log.warning("%s", sentence)
            faults.append(sentence)
    return Catalog(models=catalog.models, faults=tuple(faults))


def _plugins() -> Iterator[EntryPoint]:
    yield from sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)


def _folder_of(point: EntryPoint) -> Folder:
    target = point.load()
    if isinstance(target, str):
        return Path(target)
    if isinstance(target, Traversable):
        return target
    raise EnvironmentFault(
        "an entry point must name a folder of catalog files",
        field=point.value,
        got=type(target).__name__,
        allowed="a path",
    )


def _retired(spec: ModelSpec) -> str:
    if spec.status is not Status.RETIRED or spec.retirement is None:
        return ""
    instead = f"; use {spec.retirement.replacement} instead" if spec.retirement.replacement else ""
    return f"This model was retired on {spec.retirement.retired_on}{instead}."


def _unserved(spec: ModelSpec) -> str:
    if spec.generator is None:
        return spec.not_ready
    module, _, name = spec.generator.partition(":")
    if name not in _names_in(module):
        return f"The class {spec.generator} that should serve this model is not installed."
    return ""


def _missing_package(spec: ModelSpec) -> str:
    missing = [package for package in spec.requires if not _is_installed(package)]
    return f"Python packages are missing: {', '.join(missing)}." if missing else ""


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


@cache
def _names_in(module: str) -> frozenset[str]:
    """Return the names a module defines at its top, read from its source: importing it could load torch."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return frozenset()
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return frozenset()
    try:
        tree = ast.parse(Path(found.origin).read_bytes())
    except (OSError, SyntaxError):
        return frozenset()
    return frozenset(name for statement in tree.body for name in _names_bound_by(statement))


def _names_bound_by(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.ClassDef() | ast.FunctionDef():
            yield statement.name
        case ast.ImportFrom() | ast.Import():
            yield from (alias.asname or alias.name for alias in statement.names)
        case ast.Assign():
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))


def _import_class(spec: ModelSpec) -> Callable[[ModelSpec, Settings], Generator]:
    module, _, name = (spec.generator or "").partition(":")
    try:
        return cast("Callable[[ModelSpec, Settings], Generator]", getattr(importlib.import_module(module), name))
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"{spec.id} needs the Python package {error.name}",
            field="model",
            got=spec.id,
            fix="install the studio with everything it needs, see `studio doctor`",
        ) from error
    except AttributeError as error:
        raise MissingPackage(f"{module} has no class {name} to serve {spec.id}", field="model", got=spec.id) from error
