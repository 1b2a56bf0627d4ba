"""Makes a payload of a case: signed as it should be, or not."""

from __future__ import annotations

import hmac

from perpguard_sdk.codec import PAYLOAD_BYTES_MAX


def payload_of(text: str, topic: str, base: str, key: bytes) -> bytes:  # noqa: PLR0911 (one case a line is the table)
    """Read the first line of a case for how its payload is made; without a word there it is signed."""
    first, _, rest = text.rstrip("\n").partition("\n")
    match first.split(" ")[0]:
        case "raw" | "unsigned":
            return rest.encode()
        case "hex":
            return bytes.fromhex(rest)
        case "nested":
            depth = int(first.split()[1])
            return b"[" * depth + b"]" * depth
        case "size":
            assert int(first.split()[1]) > PAYLOAD_BYTES_MAX
            return b"x" * int(first.split()[1])
        case "wrong":
            return signed(rest.encode(), topic, b"another key of a bot")
        case "signed":
            return signed(rest.encode(), f"{base}/{first.split()[2]}", key)
        case _:
            return signed(text.rstrip("\n").encode(), topic, key)


def signed(body: bytes, topic: str, key: bytes) -> bytes:
    """Sign any bytes, be they JSON or not."""
    signature = hmac.digest(key, topic.encode() + b"\n" + body, "sha256").hex()
    return b'{"sig":"' + signature.encode() + b'","body":' + body + b"}"
