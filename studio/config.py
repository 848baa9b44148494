"""Settings: read once from the environment, passed down, never kept in a module."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from studio.consistency.policy import Policy
from studio.errors import EnvironmentFault, StoreFault
from studio.library.address import PostgresAddress
from studio.spending.money import Money

_FILE_SYSTEM = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII)
# What these hold is not repeated in an error: a password may stand in it.
_SECRET_FIELDS = {"signer_command", "timestamp_url", "database_url", "api_token", "assets_url"}


DEVICE_PATTERN = r"^(auto|cpu|mps|xpu|cuda(:\d{1,2})?)$"

VisibleLabel = Literal["none", "text", "icon"]


class PromptPolicy(StrEnum):
    """How much of a prompt is written into the signed file."""

    FULL = "full"
    HASH = "hash"
    NONE = "none"


class Settings(BaseSettings):
    """Everything that can be configured, from ``STUDIO_*`` environment variables.

    home: database, library, quarantine and keys live here; created with mode 0700.
    database_url: PostgreSQL database of the library, ``postgresql://user:password@host/name``; None keeps it in SQLite,
    in the home folder.
    shared_identity: the folder of keys and certificates, STUDIO_IDENTITY_FOLDER; None keeps them in the home folder.
    assets_url: folder that several machines reach, by a URL of fsspec; sealed files and the inputs of jobs lie there.
    None keeps them in the home folder.
    prompt_policy: what a sealed file says about its prompt.
    training_use: what the file says to those who collect training data: allowed, notAllowed or constrained.
    visible_label: what is drawn into the picture to say that it was made by AI: none, text or icon.
    on_failed_check: what happens to a clip that fails a check: flag, hold, refuse or retry:N.
    device: torch device of local models; ``auto`` takes CUDA when there is one.
    threads: CPU threads of local models; 0 leaves torch's choice.
    vram_limit: GiB of GPU memory that local models may take; None leaves them all that is free.
    embeddings_limit: MiB of prompt embeddings that local models may keep on disk; 0 keeps none.
    daily_budget, monthly_budget: what remote jobs may cost in a day or a calendar month (UTC), such as ``20 USD``;
    None sets no limit.
    power_watts: what this machine draws while it makes a clip. electricity_price: of a kilowatt hour, ``0.30 EUR``.
    hardware_price: of this machine, ``3000 USD``, spread over hardware_months. None: not known.
    signer: plug-in (entry point in ``studio.signers``) that signs in place of a key file.
    signer_command: program that signs in place of a key file, with its arguments.
    signer_timeout: seconds that such a plug-in or program may take for one signature.
    timestamp_url: authority (RFC 3161) that is asked for the time of every signature; none is asked by default.
    api_token: what every request to `studio serve` must show; None needs none from this machine, and makes one else.
    """

    model_config = SettingsConfigDict(env_prefix="STUDIO_", frozen=True, extra="ignore", hide_input_in_errors=True)

    home: Path = Field(default_factory=lambda: user_data_path("local-video-studio", appauthor=False))
    shared_identity: Path | None = Field(default=None, validation_alias="STUDIO_IDENTITY_FOLDER")
    database_url: SecretStr | None = None
    assets_url: str | None = None
    prompt_policy: PromptPolicy = PromptPolicy.HASH
    training_use: Literal["allowed", "notAllowed", "constrained"] = "notAllowed"
    visible_label: VisibleLabel = "none"
    on_failed_check: str = "flag"
    device: str = Field(default="auto", pattern=DEVICE_PATTERN)
    threads: int = Field(default=0, ge=0, le=1024)
    vram_limit: float | None = Field(default=None, gt=0, le=10_000)
    embeddings_limit: int = Field(default=1024, ge=0, le=10_000_000)
    daily_budget: str | None = None
    monthly_budget: str | None = None
    power_watts: float | None = Field(default=None, gt=0, le=1_000_000)
    electricity_price: str | None = None
    hardware_price: str | None = None
    hardware_months: int = Field(default=24, ge=1, le=1200)
    signer: str | None = None
    signer_command: SecretStr | None = None
    signer_timeout: float = Field(default=30.0, gt=0, le=600)
    timestamp_url: str | None = None
    api_token: SecretStr | None = None

    @field_validator("home", "shared_identity")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        if folder is None:
            return None
        if str(folder) in ("", "."):
            raise ValueError("it is empty; unset it or name a folder")
        return folder.expanduser().absolute()

    @field_validator(
        "database_url",
        "assets_url",
        "signer",
        "signer_command",
        "timestamp_url",
        "vram_limit",
        "daily_budget",
        "monthly_budget",
        "power_watts",
        "electricity_price",
        "hardware_price",
        "api_token",
        mode="before",
    )
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("database_url")
    @classmethod
    def _database_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            PostgresAddress.parse(url.get_secret_value())
        return url

    @field_validator("assets_url")
    @classmethod
    def _file_system(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not _FILE_SYSTEM.match(url) or "::" in url or not url.partition("://")[2].strip("/"):
            raise ValueError("not an address such as file:///mnt/share or s3://bucket/folder")
        if urlsplit(url).password:
            raise ValueError("a password in the address would be shown; let the file system's own settings hold it")
        return url

    @field_validator("on_failed_check")
    @classmethod
    def _known_policy(cls, words: str) -> str:
        return str(Policy.parse(words))

    @field_validator("daily_budget", "monthly_budget", "electricity_price", "hardware_price")
    @classmethod
    def _sum_of_money(cls, words: str | None) -> str | None:
        return None if words is None else str(Money.parse(words))

    @field_validator("timestamp_url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        _ = parts.port  # raises a sentence of its own for one that cannot be
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not a web address that begins with http:// or https://")
        if parts.username or parts.password:
            raise ValueError("a user name or password in the address would be sent and logged; leave it out")
        return url

    @classmethod
    def read(cls) -> Settings:
        """Read the environment. Raises `EnvironmentFault` naming the variable that is wrong."""
        try:
            return cls()
        except (ValidationError, RuntimeError) as error:  # RuntimeError: a home of an unknown user
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("home",), "msg": str(error)}
            raise EnvironmentFault(
                f"this setting is not understood ({str(first['msg']).removeprefix('Value error, ')})",
                field=f"STUDIO_{str(first['loc'][0]).upper().removeprefix('STUDIO_')}",
                got=None if first["loc"][0] in _SECRET_FIELDS else first.get("input"),
                fix="correct or unset the environment variable",
            ) from error

    @property
    def check_policy(self) -> Policy:
        return Policy.parse(self.on_failed_check)

    @property
    def daily_money(self) -> Money | None:
        return None if self.daily_budget is None else Money.parse(self.daily_budget)

    @property
    def monthly_money(self) -> Money | None:
        return None if self.monthly_budget is None else Money.parse(self.monthly_budget)

    @property
    def electricity_money(self) -> Money | None:
        """What a kilowatt hour costs."""
        return None if self.electricity_price is None else Money.parse(self.electricity_price)

    @property
    def hardware_money(self) -> Money | None:
        """What this machine costs in a month."""
        if self.hardware_price is None:
            return None
        price = Money.parse(self.hardware_price)
        return Money(amount=price.amount / self.hardware_months, currency=price.currency)

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
        """Keys and certificates that sign, and the key of the watermark."""
        return self.shared_identity or self.home / "identity"

    @property
    def weights_folder(self) -> Path:
        return self.home / "weights"

    @property
    def embeddings_folder(self) -> Path:
        """Prompt embeddings that local models keep; made when the first one is."""
        return self.home / "embeddings"

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
