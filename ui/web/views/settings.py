"""What the settings tell: keys without the keys, money, room on the disk, weights, the machine, the doctor, people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from studio.catalog.metrics import MetricSpec
from studio.catalog.schema import HasWeights, ModelSpec
from studio.config import Settings
from studio.doctor import DoctorCheck
from studio.identity import IdentityFacts, ListFacts
from studio.keys import FROM_KEYRING, KeyFacts
from studio.people.account import Account
from studio.people.visitor import Action, Visitor
from studio.provenance.stamp_queue import WaitingStamp
from studio.redaction import redact
from studio.spending.report import CostReport
from ui.api.problems import refusal_of
from ui.web.backstage.pulling import OPEN, Pull
from ui.web.backstage.surgery import Examination

_ADMINS = ("keys", "costs", "models", "storage", "machine", "certificates", "doctor", "defaults")
_DOCUMENTS = ("README.md", "docs/web.md", "docs/providers.md", "docs/costs.md", "docs/local.md", "docs/provenance.md",
              "docs/users.md", "docs/queue.md", "docs/rest.md")  # fmt: skip
_COMMAND = re.compile(r"`([^`]+)`")
# What the doctor finds out about the machine itself: the page alone does not load torch to know it.
MACHINE = ("device", "torch", "attention", "xformers", "triton", "channels-last")
# What everybody's clips are made with; the rest is the business of those who run the studio.
_FOR_ALL = ("prompt_policy", "training_use", "visible_label", "on_failed_check")
_SHOWN = (*_FOR_ALL, "home", "shared_identity", "database_url", "assets_url", "device", "threads", "vram_limit",
          "embeddings_limit", "daily_budget", "monthly_budget", "power_watts", "electricity_price", "hardware_price",
          "hardware_months", "signer", "signer_command", "signer_timeout", "timestamp_url", "api_token")  # fmt: skip


def sections(visitor: Visitor, *, has_accounts: bool) -> list[str]:
    """Return what a visitor is shown of the settings. has_accounts: somebody could log in."""
    found = list(_ADMINS) if visitor.is_admin else [*(["costs"] if visitor.may(Action.MAKE) else []), "defaults"]
    if visitor.is_admin and (has_accounts or not visitor.is_local):
        found.append("people")
    return [*found, *(["password"] if visitor.name is not None else []), "about"]


# -- keys ---------------------------------------------------------------------------------------------------------


def keys_view(facts: Iterable[KeyFacts], fault: str) -> dict[str, Any]:
    """Return which providers have a key, and where from; nothing of any key. fault: of the keyring, a clause."""
    return {"providers": [_provider(item) for item in facts], "keyring_fault": fault or None}


def _provider(facts: KeyFacts) -> dict[str, Any]:
    halves = [("first", facts.source, facts.variables), ("second", facts.secret_source, facts.secret_variables)]
    return {
        "provider": facts.provider,
        "name": facts.name,
        "needs_key": facts.needs_key,
        "key_url": facts.key_url if facts.key_url.startswith("https://") else None,
        "fault": facts.fault or None,
        "halves": [
            {
                "half": half,
                "is_there": bool(source),
                "from": FROM_KEYRING if source == FROM_KEYRING else ("environment" if source else None),
                "variable": source if source and source != FROM_KEYRING else None,
                "variables": list(variables),
            }
            for half, source, variables in halves
            if variables
        ],
        "is_removable": FROM_KEYRING in (facts.source, facts.secret_source),
    }


# -- money --------------------------------------------------------------------------------------------------------


def costs_view(settings: Settings, spans: dict[str, dict[str, CostReport]], told: str) -> dict[str, Any]:
    """Return what was spent. spans: reports by span of time and by group. told: on when this machine pays."""
    reports = {span: {by: report.as_json() for by, report in groups.items()} for span, groups in spans.items()}
    one = next(iter(next(iter(reports.values())).values()))
    budgets = {line["setting"]: line for line in one["budgets"]}
    limits = (("STUDIO_DAILY_BUDGET", settings.daily_budget), ("STUDIO_MONTHLY_BUDGET", settings.monthly_budget))
    return {
        "budgets": [
            {"setting": name, "is_set": words is not None, **_budget(budgets.get(name))} for name, words in limits
        ],
        "spans": {
            span: {by: {"orders": told["orders"], "work": told["work"]} for by, told in groups.items()}
            for span, groups in reports.items()
        },
        "break_even": told,
    }


def _budget(line: dict[str, Any] | None) -> dict[str, Any]:
    return {name: None if line is None else line[name] for name in ("money", "spent", "left")}


# -- weights and room ---------------------------------------------------------------------------------------------


def weights_view(spec: HasWeights, *, is_here: bool, disk_bytes: int) -> dict[str, Any]:
    """Return a row whose weights can be fetched. disk_bytes: what its repository takes of the disk, in parts too."""
    assert isinstance(spec, ModelSpec | MetricSpec)  # noqa: S101 - both kinds of rows there are
    weights = spec.weights
    assert weights is not None  # noqa: S101 - what has none is not asked for
    return {
        "id": spec.id,
        "name": spec.name,
        "summary": spec.summary,
        "kind": "check" if isinstance(spec, MetricSpec) else "model",
        "licence": {
            "id": spec.licence.id,
            "url": spec.licence.url if (spec.licence.url or "").startswith("https://") else None,
            "commercial_use": spec.licence.commercial_use,
            "note": spec.licence.note,
        },
        "is_embedded": weights.source == "embedded",
        "repository": weights.repository,
        "revision": weights.revision,
        "is_gated": weights.gated,
        "download_bytes": weights.size_bytes,
        "is_here": is_here,
        "disk_bytes": disk_bytes,
    }


def pull_view(pull: Pull, home: Path) -> dict[str, Any]:
    """Return how a download stands."""
    progress, told = pull.progress, None
    if pull.error is not None:
        refusal = refusal_of(pull.error, home)
        told = {"message": refusal.message, "fix": refusal.fix or pull.error.fix}
    return {
        "model": pull.model,
        "state": pull.state.value,
        "is_open": pull.state in OPEN,
        "stage": None if progress is None else progress.stage,
        "file": None if progress is None else progress.file,
        "done_bytes": 0 if progress is None else progress.done_bytes,
        "total_bytes": 0 if progress is None else progress.total_bytes,
        "error": told,
    }


# -- machine and certificates -------------------------------------------------------------------------------------


def certificates_view(
    facts: IdentityFacts, lists: Sequence[ListFacts], waiting: Sequence[WaitingStamp], *, has_watermark_key: bool
) -> dict[str, Any]:
    """Return what signs here, whom files are judged by, and what waits for its time stamp."""
    address = facts.timestamp_url
    return {
        "identity": facts.as_json() | {"timestamp_url": None if address is None else redact(address)},
        "has_watermark_key": has_watermark_key,
        "trust": [item.as_json() for item in lists],
        "waiting_stamps": [item.as_json() | {"reason": redact(item.reason)} for item in waiting],
    }


def machine_findings(examination: Examination) -> list[dict[str, Any]]:
    """Return what the doctor found out about the machine; empty before it was asked."""
    return [check_view(check) for check in examination.checks or () if check.id in MACHINE]


def doctor_view(examination: Examination) -> dict[str, Any]:
    """Return the last examination: what does not work first."""
    checks = examination.checks
    order = {False: 0, None: 1, True: 2}
    began, ended = examination.began_at, examination.ended_at
    return {
        "is_running": examination.is_running,
        "has_failed": examination.has_failed,
        "began_at": None if began is None else began.isoformat(),
        "ended_at": None if ended is None else ended.isoformat(),
        "seconds": examination.seconds,
        "checks": None
        if checks is None
        else [check_view(check) for check in sorted(checks, key=lambda check: order[check.ok])],
    }


def check_view(check: DoctorCheck) -> dict[str, Any]:
    """Return one finding. commands: what its fix tells to run."""
    fix = redact(check.fix)
    return {
        "id": check.id,
        "ok": check.ok,
        "detail": redact(check.detail),
        "fix": fix,
        "commands": _COMMAND.findall(fix),
    }


# -- what is in force ---------------------------------------------------------------------------------------------


def defaults_view(settings: Settings, visitor: Visitor) -> list[dict[str, Any]]:
    """Return the settings in force, each with its variable; of a secret, whether it is set."""
    names = _SHOWN if visitor.is_admin else _FOR_ALL
    return [_setting(settings, name) for name in names]


def _setting(settings: Settings, name: str) -> dict[str, Any]:
    value = getattr(settings, name)
    alias = Settings.model_fields[name].validation_alias
    is_secret = isinstance(value, SecretStr)
    return {
        "name": name,
        "variable": alias if isinstance(alias, str) else f"STUDIO_{name.upper()}",
        "value": None if value is None or is_secret else redact(str(value)),
        "is_secret": is_secret,
        "is_default": name not in settings.model_fields_set,
    }


def account_view(account: Account, visitor: Visitor) -> dict[str, Any]:
    """Return an account. is_mine: of whoever looks."""
    return account.as_json() | {"is_mine": account.name == visitor.name}


def about_view(version: str) -> dict[str, Any]:
    """Return what this program is."""
    return {"version": version, "licence": "Apache-2.0", "documents": list(_DOCUMENTS)}
