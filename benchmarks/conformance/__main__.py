"""Judge every kind of file by the public rubric: python -m benchmarks.conformance --rubrics DIR."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.conformance.kinds import Maker, kinds
from benchmarks.conformance.rubric import RUBRIC, Rubric, crjson
from studio.provenance.certificates import load_or_create
from studio.provenance.trust import identity_list

RESULTS = Path(__file__).resolve().parents[1] / "results" / "conformance.json"


def main() -> int:
    """Print a line for each kind, keep the numbers, and return 1 if any check says no."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rubrics", type=Path, required=True, help="the folder asset-rubrics of the public checkout")
    parser.add_argument("--json-formula", type=Path, help="a folder to import json_formula from, if not installed")
    arguments = parser.parse_args()
    rubric = Rubric(arguments.rubrics, arguments.json_formula)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        identity = load_or_create(Path(folder) / "identity")
        for make in kinds(Maker(Path(folder), identity)):
            sample = make()
            good, bad = rubric.judge(crjson(sample, identity_list(identity)))
            rows.append({"kind": sample.name, "format": sample.mime_type, "passed": len(good), "failed": bad})
            print(f"{sample.name:<26} {sample.mime_type:<18} {len(good)}/{len(good) + len(bad)}", *bad)
    facts = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "rubric": RUBRIC, "c2pa": version("c2pa-python")}
    RESULTS.write_text(json.dumps(facts | {"kinds": rows}, indent=1) + "\n")
    return int(any(row["failed"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
