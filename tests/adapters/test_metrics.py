"""The page for Prometheus, read over HTTP as Prometheus would."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters.metrics import MetricsServer, MetricsSettings
from guard.errors import SettingsError
from guard.meters import FINE_S, Distribution, Distributions, Latency, Measured, Meter, MeterKind, Sample
from guard.units import NS_PER_MS

ANY_PORT = MetricsSettings(enabled=True, port=0)


async def get(server: MetricsServer, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_numbers_come_out_under_their_names_and_labels() -> None:
    latency = Latency()
    latency.observe(2 * NS_PER_MS)
    fine = Latency(bounds_s=FINE_S)
    fine.observe(15_000)
    measured: list[Measured] = [
        Meter("events", "Events", MeterKind.COUNTER, (Sample(3, {"kind": "tick"}), Sample(1, {"kind": "x"}))),
        Meter("shedding", "Shedding", MeterKind.GAUGE, (Sample(0.0),)),
        Distribution("wait_seconds", "Waits", latency),
        Distributions("hop_seconds", "Hops", "hop", {"decide": fine, "bot": Latency(bounds_s=FINE_S)}),
    ]
    async with MetricsServer(ANY_PORT, measure=lambda: measured, healthy=str) as server:
        status, page = await get(server, "/metrics")

    found = {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert status == 200
    assert found["perpguard_events_total", (("kind", "tick"),)] == 3
    assert found["perpguard_shedding", ()] == 0
    assert found["perpguard_wait_seconds_bucket", (("le", "0.001"),)] == 0
    assert found["perpguard_wait_seconds_bucket", (("le", "0.003"),)] == 1
    assert found["perpguard_wait_seconds_sum", ()] == 0.002
    hops = {
        (labels["hop"], float(labels["le"])): value
        for (name, items), value in found.items()
        if name == "perpguard_hop_seconds_bucket" and (labels := dict(items))
    }
    assert hops["decide", 1e-5] == 0
    assert hops["decide", 2e-5] == hops["decide", 10.0] == hops["decide", float("inf")] == 1
    assert hops["bot", float("inf")] == 0
    assert found["perpguard_hop_seconds_sum", (("hop", "decide"),)] == 1.5e-5
    assert found["perpguard_process_resident_memory_bytes", ()] > 1e6
    assert found["perpguard_process_open_fds", ()] > 3


async def test_health_is_what_the_engine_says() -> None:
    wrong = ["the engine has processed no Tick for 4.0 s", ""]
    async with MetricsServer(ANY_PORT, measure=tuple, healthy=lambda: wrong.pop(0)) as server:
        assert await get(server, "/healthz") == (503, "the engine has processed no Tick for 4.0 s\n")
        assert await get(server, "/healthz") == (200, "ok\n")
        assert (await get(server, "/else"))[0] == 404


async def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = MetricsSettings(enabled=True, port=taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"metrics.port.*choose another"):
            async with MetricsServer(settings, measure=tuple, healthy=str):
                pass
