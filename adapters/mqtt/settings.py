"""Settings of the MQTT broker: which one, how to reach it, and how long to wait for another guard."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from guard.errors import SettingsError
from perpguard_sdk.codec import check_key
from perpguard_sdk.topics import check_level

PORT_PLAIN = 1883
PORT_TLS = 8883


class BrokerKind(StrEnum):
    """Whose broker it is."""

    EMBEDDED = "embedded"
    EXTERNAL = "external"


class ProtocolVersion(StrEnum):
    """Version of MQTT."""

    V5 = "5"
    V311 = "3.1.1"


class BrokerSettings(BaseModel):
    """The ``[broker]`` table of settings.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: BrokerKind = Field(
        default=BrokerKind.EMBEDDED,
        description="embedded: perpguard runs a broker of its own; external: yours",
    )
    host: str = Field(
        default="127.0.0.1", min_length=1, description="of an external broker; embedded is loopback only"
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="0: embedded takes a free one and keeps it; external 1883, 8883 with TLS",
    )
    username: str | None = Field(default=None, min_length=1, description="embedded: perpguard")
    password_file: Path | None = Field(
        default=None, description="a file that holds the password and nothing else"
    )
    password_env: str | None = Field(
        default=None, min_length=1, description="or the environment variable that holds it"
    )
    protocol: ProtocolVersion = Field(default=ProtocolVersion.V5, description="embedded speaks 3.1.1 only")
    tls_ca: Path | None = Field(
        default=None, description="certificate authority that signed the broker's certificate"
    )
    tls_cert: Path | None = Field(default=None, description="our certificate, where the broker asks for one")
    tls_key: Path | None = Field(default=None, description="its key")
    tls_key_passphrase_file: Path | None = Field(
        default=None, description="a file that holds the passphrase of that key, if it has one"
    )
    tls_key_passphrase_env: str | None = Field(
        default=None, min_length=1, description="or the environment variable that holds it"
    )
    outside_key_file: Path | None = Field(
        default=None,
        description="a file with the key that signs facts from outside (perpguard outside set); "
        "without a key none are heard",
    )
    outside_key_env: str | None = Field(
        default=None, min_length=1, description="or the environment variable that holds it"
    )
    outside_user: str | None = Field(
        default=None,
        min_length=1,
        description="a user of the broker who may tell such facts and do nothing else, e.g. for a script",
    )
    instruction_key_file: Path | None = Field(
        default=None,
        description="a file with the key that signs what humans tell the guard (perpguard override); "
        "without a key nothing is heard",
    )
    instruction_key_env: str | None = Field(
        default=None, min_length=1, description="or the environment variable that holds it"
    )
    instruction_hours_max: int = Field(
        default=72, ge=1, le=720, description="so long may an override or a silence hold at most"
    )
    keepalive_s: int = Field(
        default=5, ge=1, le=3600, description="a broker that answers no ping for so long is away"
    )
    site: str = Field(default="home", description="one level of every topic; one guard commands a site")
    root: str = Field(default="perpguard", description="the first level of every topic")
    data_dir: Path = Field(
        default=Path("var/broker"), description="where the embedded broker keeps its files"
    )
    heartbeat_ms: int = Field(default=1000, ge=100, le=60_000, description="between two heartbeats to a bot")
    claim_quiet_s: float = Field(
        default=5.0,
        gt=0,
        le=600,
        description="so long no other guard's heartbeat must be heard before we command",
    )
    claim_wait_s: float = Field(
        default=15.0, gt=0, le=3600, description="so long another guard may keep beating before we give up"
    )
    publish_timeout_s: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="the broker must take a message within it, or the connection is dropped",
    )

    @field_validator("site", "root")
    @classmethod
    def _is_one_level(cls, value: str) -> str:
        return check_level(value, "it")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.password_file is not None and self.password_env is not None:
            raise ValueError("give password_file or password_env, not both")
        if self.outside_key_file is not None and self.outside_key_env is not None:
            raise ValueError("give outside_key_file or outside_key_env, not both")
        if self.instruction_key_file is not None and self.instruction_key_env is not None:
            raise ValueError("give instruction_key_file or instruction_key_env, not both")
        if self.claim_wait_s < self.claim_quiet_s:
            raise ValueError("claim_wait_s must be at least claim_quiet_s")
        if self.kind is BrokerKind.EMBEDDED:
            if self.host != "127.0.0.1":
                raise ValueError("the embedded broker listens on 127.0.0.1 only; leave host out")
            if self.tls_ca is not None:
                raise ValueError("the embedded broker is loopback only and has no TLS; leave tls_* out")
        elif self.username is None and (self.password_file or self.password_env):
            raise ValueError("a password needs a username")
        return self

    @model_validator(mode="after")
    def _tls_fits_together(self) -> Self:
        if self.tls_key_passphrase_file is not None and self.tls_key_passphrase_env is not None:
            raise ValueError("give tls_key_passphrase_file or tls_key_passphrase_env, not both")
        if self.tls_key is None and (self.tls_key_passphrase_file or self.tls_key_passphrase_env):
            raise ValueError("a passphrase needs a tls_key")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        if self.tls_cert is not None and self.tls_ca is None:
            raise ValueError("tls_cert needs tls_ca: TLS is used where tls_ca is given")
        return self

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls_ca is not None

    @property
    def port_used(self) -> int:
        """The port of an external broker."""
        return self.port or (PORT_TLS if self.tls else PORT_PLAIN)

    @property
    def protocol_used(self) -> ProtocolVersion:
        """The embedded broker speaks 3.1.1, whatever ``protocol`` says."""
        return ProtocolVersion.V311 if self.kind is BrokerKind.EMBEDDED else self.protocol

    def password(self) -> str | None:
        """Read the password from where the settings say it is; ``None`` if they name no place.

        Raises:
            SettingsError: the file or the variable is missing or empty.
        """
        return _secret("password", self.password_file, self.password_env)

    def outside_key(self) -> bytes | None:
        """Read the key that signs facts from outside; ``None`` if the settings name no place.

        Raises:
            SettingsError: the file or the variable is missing, empty, or holds less than 16 bytes.
        """
        return _key("outside_key", self.outside_key_file, self.outside_key_env)

    def instruction_key(self) -> bytes | None:
        """Read the key that signs what humans tell the guard; ``None`` if the settings name no place.

        Raises:
            SettingsError: the file or the variable is missing, empty, or holds less than 16 bytes.
        """
        return _key("instruction_key", self.instruction_key_file, self.instruction_key_env)

    def tls_key_passphrase(self) -> str | None:
        """Read the passphrase of our key; ``None`` if the settings name no place.

        Raises:
            SettingsError: the file or the variable is missing or empty.
        """
        return _secret("tls_key_passphrase", self.tls_key_passphrase_file, self.tls_key_passphrase_env)


def _key(name: str, file: Path | None, env: str | None) -> bytes | None:
    key = _secret(name, file, env)
    if key is None:
        return None
    where = f"{name}_file" if file is not None else f"{name}_env"
    try:
        return check_key(key.encode(), where)
    except ValueError as error:
        raise SettingsError("settings", [(f"broker.{where}", str(error))]) from None


def _secret(name: str, file: Path | None, env: str | None) -> str | None:
    if env is not None:
        value = os.environ.get(env, "")
        if not value:
            problem = f"the environment variable {env} is not set or is empty"
            raise SettingsError("settings", [(f"broker.{name}_env", problem)])
        return value
    return read_password(file, f"broker.{name}_file") if file is not None else None


def read_password(path: Path, what: str = "broker.password_file") -> str:
    """Return the file's text without the line end; ``what`` is the setting that named it.

    Raises:
        SettingsError: it cannot be read, is not text, or is empty.
    """
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        # The error itself would show some of it.
        raise SettingsError("settings", [(what, f"{path} is not text: write the password in it")]) from None
    except OSError as error:
        raise SettingsError("settings", [(what, f"{path} cannot be read: {error}")]) from error
    if not password:
        raise SettingsError("settings", [(what, f"{path} is empty: write the password in it")])
    return password
