"""Mirrors a command's envelope as MQTT 5 properties, for people and brokers; bots judge by the signed payload alone."""

from __future__ import annotations

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from perpguard_sdk.messages import Command


def mirror_of(command: Command, ms_left: int) -> Properties:
    """Mirror a command's envelope for MQTT 5.

    The expiry is in whole seconds, rounded up: the exact one is in the payload, where it is signed.
    """
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = -(-ms_left // 1000)
    properties.CorrelationData = command.id.encode()
    properties.ContentType = "application/json"
    properties.UserProperty = [
        ("type", str(command.verb)),
        ("epoch", str(command.epoch)),
        ("seq", str(command.seq)),
        ("posture_version", str(command.posture_version)),
        ("expires_at", str(command.expires_at)),
        ("dry_run", str(command.dry_run).lower()),
    ]
    return properties
