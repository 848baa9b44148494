"""Rows of providers that nobody serves, for what is asked of a provider without asking the provider."""

from __future__ import annotations

from pathlib import Path

from studio.catalog.remote import Remote

ACME = Remote(
    provider="acme",
    provider_name="Acme",
    model="acme-1",
    base_url="https://api.acme.example/v1",
    base_url_variable="ACME_BASE_URL",
    key_variables=("ACME_API_KEY", "ACME_KEY"),
    key_url="https://acme.example/keys",
)
PAIRS = Remote(
    provider="pairs",
    provider_name="Pairs & Co",
    base_url="https://pairs.example",
    base_url_variable="PAIRS_BASE_URL",
    key_variables=("PAIRS_ACCESS_KEY",),
    secret_variables=("PAIRS_SECRET_KEY",),
)
OWN = Remote(
    provider="own",
    provider_name="A server of one's own",
    base_url="http://127.0.0.1:8000/v1",
    base_url_variable="OWN_BASE_URL",
    key_variables=("OWN_API_KEY",),
    needs_key=False,
)
REMOTES = (ACME, PAIRS, OWN)

_ROW = """
[[models]]
id = "{provider}-model{suffix}"
name = "A model of {provider}"
summary = "For tests"
family = "test"
where = "remote"
not_ready = "Nobody serves it."
tasks = ["text-to-video"]
licence = {{ id = "proprietary" }}
parameters.num_frames = {{ min = 24, max = 24, default = 24 }}
parameters.frame_rate = {{ min = 24, max = 24, default = 24 }}
parameters.width = {{ min = 1280, max = 1280, default = 1280 }}
parameters.height = {{ min = 720, max = 720, default = 720 }}
{more}
[models.remote]
provider = "{provider}"
provider_name = "{name}"
base_url = "{base_url}"
base_url_variable = "{base_url_variable}"
key_variables = {keys}
secret_variables = {secrets}
needs_key = {needs_key}
key_url = "{key_url}"
"""
_RETIRED = 'status = "retired"\nretirement = { retired_on = 2026-01-01, evidence = "gone" }'


def write_remote_rows(folder: Path, *remotes: Remote, is_retired: bool = False) -> None:
    """Write one catalog file for each provider."""
    folder.mkdir(parents=True, exist_ok=True)
    for remote in remotes:
        row = _ROW.format(
            provider=remote.provider,
            suffix="-old" if is_retired else "",
            name=remote.provider_name,
            more=_RETIRED if is_retired else "",
            base_url=remote.base_url,
            base_url_variable=remote.base_url_variable,
            keys=list(remote.key_variables),
            secrets=list(remote.secret_variables),
            needs_key=str(remote.needs_key).lower(),
            key_url=remote.key_url,
        )
        (folder / f"{remote.provider}.toml").write_text(row)
