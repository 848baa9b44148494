"""The page on providers says what the catalog says.

To write its tables anew: python -m tests.providers.test_provider_page
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studio.catalog.loader import load_catalog
from studio.catalog.markdown import remote_table, retired_table

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"


def tables() -> dict[str, str]:
    catalog = load_catalog()
    return {"models": remote_table(catalog), "retired": retired_table(catalog)}


@pytest.mark.parametrize("name", ["models", "retired"])
def test_a_table_is_the_catalogs_own(name: str) -> None:
    said = f"<!-- {name} -->\n{tables()[name]}\n"
    assert said in PAGE.read_text(encoding="utf-8"), "write it anew: python -m tests.providers.test_provider_page"


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []


def write() -> None:
    """Write the tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables().items():
        text = re.sub(rf"(<!-- {name} -->\n)(?:.+\n)*", lambda found, table=table: f"{found[1]}{table}\n", text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
