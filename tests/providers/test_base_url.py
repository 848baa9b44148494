"""The address that a user sets in a provider's place is looked at before anything is sent there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from studio.errors import EnvironmentFault
from tests.providers.bench import Bench


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example",
        "a.example",
        "http://",
        "http://[",
        "http://xn--/",
        "https://user:pw@a.example",
        "https://a.example?x=1",
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_sent(
    bench_of: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    bench = bench_of("openai-videos")
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(EnvironmentFault, match="not a web address") as caught:
        bench.make()
    assert caught.value.field == "OPENAI_BASE_URL"
    assert bench.server.requests == []


def test_plain_http_beyond_this_machine_is_refused_where_a_key_would_be_sent(
    bench_of: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of("runway")
    monkeypatch.setenv("RUNWAYML_BASE_URL", "http://runway.example")
    with pytest.raises(EnvironmentFault, match="readable by everybody"):
        bench.make()


def test_no_key_goes_to_the_metadata_service_of_a_cloud(
    bench_of: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of("runway")
    monkeypatch.setenv("RUNWAYML_BASE_URL", "http://169.254.169.254")
    with pytest.raises(EnvironmentFault, match="readable by everybody"):
        bench.make()
