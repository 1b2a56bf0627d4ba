"""What can go wrong for a bot.

::

    SdkError
    ├── MalformedMessageError    a payload is not a message of this protocol
    ├── SignatureMismatchError   a payload was not signed with this bot's key
    └── StoreError               what the bot must remember cannot be read or written
"""

from __future__ import annotations


class SdkError(Exception):
    """Base of all errors of the SDK."""


class MalformedMessageError(SdkError):
    """A payload is not a message of this protocol. Drop it, count it, look at who publishes there."""

    def __init__(self, topic: str, detail: str) -> None:
        super().__init__(f"malformed message on {topic}: {detail}")
        self.topic = topic
        self.detail = detail


class SignatureMismatchError(SdkError):
    """A payload was not signed with this bot's key. Check that guard and bot read the same key."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"wrong signature on {topic}: guard and bot must read the same key for this bot")
        self.topic = topic


class StoreError(SdkError):
    """What the bot must remember cannot be read or written."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail
