"""The public conformance rubric (c2pa-org/conformance-public, asset-rubrics), run from where the user keeps it."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.conformance.kinds import Sample
from studio.provenance.trust import TrustList, offline_settings

RUBRIC = "asset-rubric-conformance0.2-spec2.4.yml"
EVALUATOR = "c2pa_conformance_rubric_evaluator"


def crjson(sample: Sample, *lists: TrustList) -> dict[str, Any]:
    """Return the record of a file in the form that the rubric is written for."""
    from c2pa import Context, Reader, Settings

    with (
        Settings.from_dict(offline_settings(lists)) as settings,
        Context(settings) as context,
        sample.path.open("rb") as file,
        Reader(sample.mime_type, file, manifest_data=sample.store, context=context) as reader,
    ):
        record: dict[str, Any] = json.loads(reader.crjson())
        return record


class Rubric:
    """Judges records. folder: ``asset-rubrics`` of a checkout; its evaluator needs PyYAML and ``json_formula``.

    json_formula: a folder to import that package from, None where it is installed.
    """

    def __init__(self, folder: Path, json_formula: Path | None = None) -> None:
        self._rubric = folder / RUBRIC
        for place in filter(None, (folder, json_formula)):
            sys.path.insert(0, str(place))
        self._evaluator = importlib.import_module(EVALUATOR)

    def judge(self, record: dict[str, Any]) -> tuple[list[str], list[str]]:
        """Return what is as it should be, and what is not: a failure, a warning or a check that could not be run."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            outcome = self._evaluator.evaluate_asset_against_rubric(str(self._rubric), data_dict=record)
        good = [item["trait"] for checks in outcome["true"].values() for item in checks]
        bad = [
            f"{item['trait']}: {item['reportText']}"
            for verdict in ("false", "warning")
            for checks in outcome[verdict].values()
            for item in checks
        ]
        return good, bad
