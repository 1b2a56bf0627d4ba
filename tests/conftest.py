"""Fixtures that every test may ask for."""

from __future__ import annotations

from tests.support.brokers import mosquitto_broker, nats_broker

__all__ = ["mosquitto_broker", "nats_broker"]
