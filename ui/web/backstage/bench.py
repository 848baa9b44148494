"""What the form of the tab Create works with: estimates, recipes of dropped files, clips that are being made longer."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from studio.app import Studio
from studio.errors import NotFound
from studio.recipe import Recipe
from ui.web.backstage.estimating import Estimator
from ui.web.backstage.extensions import Extensions
from ui.web.words import say

MAX_RECIPES, RECIPE_SECONDS = 50, 3600.0


class RecipeGone(NotFound):
    """What a dropped file told is no longer kept."""


class Recipes:
    """What dropped files told, for an hour. clock: seconds, never going back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Recipe]] = OrderedDict()

    def keep(self, recipe: Recipe) -> str:
        """Remember a recipe, and return what it is found by."""
        key = secrets.token_hex(12)
        with self._lock:
            self._kept[key] = (self._clock(), recipe)
            while len(self._kept) > MAX_RECIPES:
                self._kept.popitem(last=False)
        return key

    def recipe(self, key: str) -> Recipe:
        """Return a recipe. Raises `RecipeGone`."""
        with self._lock:
            at, recipe = self._kept.get(key, (0.0, None))
        if recipe is None or self._clock() - at > RECIPE_SECONDS:
            raise RecipeGone(say("create.recipe.gone").rstrip("."), field="recipe", got=key[:40])
        return recipe


@dataclass(frozen=True)
class Bench:
    """What the form and its routes share. One of each for a server."""

    estimator: Estimator
    recipes: Recipes
    extensions: Extensions

    @classmethod
    def of(cls, studio: Studio) -> Bench:
        """Return a bench on which nothing lies yet."""
        return cls(estimator=Estimator(studio), recipes=Recipes(), extensions=Extensions(studio))
