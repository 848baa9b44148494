"""Settings: read once from the environment, passed down, never kept in a module."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from studio.errors import EnvironmentFault, StoreFault


class PromptPolicy(StrEnum):
    """How much of a prompt is written into the signed file."""

    FULL = "full"
    HASH = "hash"
    NONE = "none"


class Settings(BaseSettings):
    """Everything that can be configured, from ``STUDIO_*`` environment variables.

    home: database, library, quarantine and keys live here; created with mode 0700.
    prompt_policy: what a sealed file says about its prompt.
    training_use: what the file says to those who collect training data: allowed, notAllowed or constrained.
    device: torch device of local models; ``auto`` takes CUDA when there is one.
    threads: CPU threads of local models; 0 leaves torch's choice.
    """

    model_config = SettingsConfigDict(env_prefix="STUDIO_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=lambda: user_data_path("local-video-studio", appauthor=False))
    prompt_policy: PromptPolicy = PromptPolicy.HASH
    training_use: Literal["allowed", "notAllowed", "constrained"] = "notAllowed"
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|xpu|cuda(:\d{1,2})?)$")
    threads: int = Field(default=0, ge=0, le=1024)

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        if str(home) in ("", "."):
            raise ValueError("it is empty; unset it or name a folder")
        return home.expanduser().absolute()

    @classmethod
    def read(cls) -> Settings:
        """Read the environment. Raises `EnvironmentFault` naming the variable that is wrong."""
        try:
            return cls()
        except (ValidationError, RuntimeError) as error:  # RuntimeError: a home of an unknown user
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("home",), "msg": str(error)}
            raise EnvironmentFault(
                f"this setting is not understood ({str(first['msg']).removeprefix('Value error, ')})",
                field=f"STUDIO_{str(first['loc'][0]).upper()}",
                got=first.get("input"),
                fix="correct or unset the environment variable",
            ) from error

    @property
    def database_path(self) -> Path:
        return self.home / "studio.sqlite3"

    @property
    def library_folder(self) -> Path:
        return self.home / "library"

    @property
    def quarantine_folder(self) -> Path:
        return self.home / "quarantine"

    @property
    def identity_folder(self) -> Path:
        return self.home / "identity"

    @property
    def weights_folder(self) -> Path:
        return self.home / "weights"

    def create_home(self) -> None:
        """Create the home folder and its rooms, readable by this user alone."""
        rooms = (self.home, self.library_folder, self.quarantine_folder, self.identity_folder, self.weights_folder)
        try:
            for room in rooms:
                room.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFault(
                f"the studio's home folder cannot be created ({error.strerror or error})",
                field="STUDIO_HOME",
                got=self.home,
                allowed="a folder this user can write",
                fix="set STUDIO_HOME to another folder",
            ) from error
