"""What a machine can do is measured quickly, kept as JSON, and turned into seconds by the roofline's rules."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import torch

from pipelines.throughput import EFFICIENCY, Throughput, measure_throughput

ROUND = Throughput(
    device="a device", dtype="float16", matmul_flops=200.0, convolution_flops=100.0, copied_bytes=50.0,
    transferred_bytes=10.0, operation_seconds=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def measured() -> tuple[Throughput, float]:
    start = time.process_time()
    found = measure_throughput(torch.device("cpu"), torch.float32, seconds=0.5)
    return found, time.process_time() - start


def test_a_measurement_on_a_cpu_is_quick_and_plausible(measured: tuple[Throughput, float]) -> None:
    found, seconds = measured
    assert seconds < 2 * torch.get_num_threads() + 1
    assert 1e8 < found.matmul_flops < 1e14
    assert 1e8 < found.convolution_flops < 1e14
    assert 1e8 < found.copied_bytes < 1e13
    assert found.transferred_bytes is None
    assert 1e-8 < found.operation_seconds < 1e-2
    assert found.dtype == "float32"
    assert found.device


def test_the_rate_is_that_of_what_was_asked_for() -> None:
    """Double precision computes at half the rate at best; other programs may disturb one comparison, hardly five."""

    def rate(dtype: torch.dtype) -> float:
        return measure_throughput(torch.device("cpu"), dtype, seconds=0.2).matmul_flops

    assert any(rate(torch.float64) < 0.8 * rate(torch.float32) for _ in range(5))


def test_a_measurement_survives_json(measured: tuple[Throughput, float]) -> None:
    assert Throughput.from_json(json.loads(json.dumps(measured[0].as_json()))) == measured[0]
    assert Throughput.from_json(json.loads(json.dumps(ROUND.as_json()))) == ROUND


@pytest.mark.parametrize(
    "damage",
    [{"matmul_flops": 0}, {"copied_bytes": "many"}, {"copied_bytes": None}, {"operation_seconds": float("nan")},
     {"surprise": 1}, {"convolution_flops": True}],
)  # fmt: skip
def test_a_damaged_file_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a measured throughput"):
        Throughput.from_json(ROUND.as_json() | damage)


@pytest.mark.parametrize("data", [[], None, {}, "text"])
def test_what_is_no_measurement_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="not a measured throughput"):
        Throughput.from_json(data)  # type: ignore[arg-type]


def test_computing_and_moving_add_up() -> None:
    assert ROUND.seconds(200, 0, convolution_flops=0) == pytest.approx(1 / EFFICIENCY)
    assert ROUND.seconds(200, 0, convolution_flops=200) == pytest.approx(2 / EFFICIENCY)
    assert ROUND.seconds(0, 100) == pytest.approx(2 / EFFICIENCY)
    assert ROUND.seconds(200, 100, convolution_flops=0) == pytest.approx(3 / EFFICIENCY)


def test_half_the_work_is_convolutions_unless_told() -> None:
    assert ROUND.seconds(200, 0) == pytest.approx(1.5 / EFFICIENCY)


def test_sending_and_starting_go_on_beside_the_work() -> None:
    work = {"flops": 200.0, "traffic_bytes": 0.0, "convolution_flops": 0.0}
    assert ROUND.seconds(**work, transfer_bytes=1, operations=1) == ROUND.seconds(**work)
    assert ROUND.seconds(**work, transfer_bytes=100) == pytest.approx(10)
    assert ROUND.seconds(**work, operations=100) == pytest.approx(50)
    assert replace(ROUND, transferred_bytes=None).seconds(**work, transfer_bytes=100) == ROUND.seconds(**work)
