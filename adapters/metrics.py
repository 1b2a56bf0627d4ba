"""What the daemon measures of itself, for Prometheus: one page over HTTP, made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, ConfigDict, Field

from guard.errors import SettingsError
from guard.meters import Distribution, Distributions, Measured, MeterKind

PREFIX = "perpguard_"
SHUTDOWN_S = 0.5

log = structlog.get_logger()


class MetricsSettings(BaseModel):
    """Whether and where the metrics can be read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=False, description="serve /metrics for Prometheus, and /healthz")
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="where to listen; whoever reaches it reads names of bots, accounts and markets, no secret",
    )
    port: int = Field(default=9464, ge=0, le=65535, description="0 takes a free one, and logs it")


class MetricsServer:
    """Serves while entered: ``/metrics``, and ``/healthz`` which answers 200 while the engine decides, else 503.

    A reader that asks often or never costs the loop nothing but the page itself.
    """

    def __init__(
        self,
        settings: MetricsSettings,
        *,
        measure: Callable[[], Iterable[Measured]],
        healthy: Callable[[], str],
    ) -> None:
        """Use as a context.

        Args:
            settings: where.
            measure: called for every page.
            healthy: what is wrong with the engine, empty if nothing is.
        """
        self._settings = settings
        self._healthy = healthy
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Measured(measure))
        ProcessCollector(namespace="perpguard", registry=self._registry)
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._health)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        self.port = settings.port

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            SettingsError: the address cannot be had.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._settings.host, self._settings.port).start()
        except OSError as error:
            await self._runner.cleanup()
            problem = (
                f"cannot listen on {self._settings.host}:{self._settings.port} "
                f"({error.strerror or error}): choose another host or port, or 0 for a free one"
            )
            raise SettingsError("settings", [("metrics.port", problem)]) from error
        self.port = int(self._runner.addresses[0][1])
        log.info("metrics can be read", url=f"http://{self._settings.host}:{self.port}/metrics")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    async def _health(self, request: web.Request) -> web.Response:
        del request
        wrong = self._healthy()
        return web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200)


class _Measured(Collector):
    def __init__(self, measure: Callable[[], Iterable[Measured]]) -> None:
        self._measure = measure

    def collect(self) -> Iterator[Metric]:
        for measured in self._measure():
            name = PREFIX + measured.name
            if isinstance(measured, Distribution):
                yield HistogramMetricFamily(
                    name,
                    measured.help,
                    buckets=measured.latency.cumulative(),
                    sum_value=measured.latency.sum_s,
                )
                continue
            if isinstance(measured, Distributions):
                histogram = HistogramMetricFamily(name, measured.help, labels=[measured.label])
                for value, latency in measured.latencies.items():
                    histogram.add_metric([value], latency.cumulative(), latency.sum_s)
                yield histogram
                continue
            labels = sorted({label for sample in measured.samples for label in sample.labels})
            family = CounterMetricFamily if measured.kind is MeterKind.COUNTER else GaugeMetricFamily
            metric = family(name, measured.help, labels=labels)
            for sample in measured.samples:
                metric.add_metric([sample.labels.get(label, "") for label in labels], sample.value)
            yield metric
