"""Bytes to messages and back, signed.

A signed payload is ``{"sig":"<hex>","body":{...}}``: HMAC-SHA256 with the bot's key over the topic, a
newline, and the exact bytes of ``body``. The signature covers the topic, so a message recorded on one
topic is worthless on another. It travels inside the payload because MQTT 3.1.1 has no other place.
"""

from __future__ import annotations

import hmac

import msgspec

from perpguard_sdk.errors import MalformedMessageError, SignatureMismatchError
from perpguard_sdk.messages import AnyMessage, Message

KEY_BYTES_MIN = 16
PAYLOAD_BYTES_MAX = 256 * 1024


class _Signed(msgspec.Struct, frozen=True):
    sig: str
    body: msgspec.Raw


_any_decoder: msgspec.json.Decoder[AnyMessage] = msgspec.json.Decoder(AnyMessage)
_signed_decoder = msgspec.json.Decoder(_Signed)
_encoder = msgspec.json.Encoder()


def encode_signed(message: Message, topic: str, key: bytes) -> bytes:
    """Encode ``message`` for ``topic`` under the bot's ``key``."""
    body = _encoder.encode(message)
    return b'{"sig":"' + _sign(topic, body, key).encode() + b'","body":' + body + b"}"


def decode_signed(payload: bytes, topic: str, key: bytes) -> AnyMessage:
    """Verify and decode a payload that arrived on ``topic``.

    Raises:
        MalformedMessageError: not the envelope, not JSON, an unknown type, a wrong field, or too large.
        SignatureMismatchError: the signature is not this key's over this topic and body.
    """
    return _decode(open_signed(payload, topic, key), topic)


def open_signed(payload: bytes, topic: str, key: bytes) -> bytes:
    """Verify a payload that arrived on ``topic`` and return the exact bytes of its body, not yet decoded.

    Raises:
        MalformedMessageError: not the envelope, or too large.
        SignatureMismatchError: the signature is not this key's over this topic and body.
    """
    _check_size(payload, topic)
    try:
        signed = _signed_decoder.decode(payload)
        signature = signed.sig.encode()
    except (msgspec.DecodeError, UnicodeError) as error:
        raise MalformedMessageError(topic, f"not a signed envelope: {error}") from error
    body = bytes(signed.body)
    if not hmac.compare_digest(signature, _sign(topic, body, key).encode()):
        raise SignatureMismatchError(topic)
    return body


def decode_body(body: bytes, topic: str) -> AnyMessage:
    """Decode what :func:`open_signed` returned.

    Raises:
        MalformedMessageError: not JSON, an unknown type, or a wrong field.
    """
    return _decode(body, topic)


def encode_plain(message: Message) -> bytes:
    """Encode a message that carries no authority (guard state, signals)."""
    return _encoder.encode(message)


def decode_plain(payload: bytes, topic: str) -> AnyMessage:
    """Decode an unsigned payload.

    Raises:
        MalformedMessageError: not JSON, an unknown type, a wrong field, or too large.
    """
    _check_size(payload, topic)
    return _decode(payload, topic)


def check_key(key: bytes, where: str) -> bytes:
    """Return ``key`` if it is long enough.

    Raises:
        ValueError: it is shorter than 16 bytes; ``where`` says which file or variable it came from.
    """
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"{where}: the key has {len(key)} bytes, at least {KEY_BYTES_MIN} are needed")
    return key


def _decode(body: bytes, topic: str) -> AnyMessage:
    try:
        return _any_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise MalformedMessageError(topic, str(error)) from error


def _check_size(payload: bytes, topic: str) -> None:
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise MalformedMessageError(topic, f"{len(payload)} bytes, at most {PAYLOAD_BYTES_MAX} are taken")


def _sign(topic: str, body: bytes, key: bytes) -> str:
    return hmac.digest(key, topic.encode() + b"\n" + body, "sha256").hex()
