"""TLS to the broker, for bot and guard: a context from files, and what its failures mean in plain words."""

from __future__ import annotations

import ssl
from pathlib import Path

_BROKER_EXPIRED = "the broker's certificate has expired: renew it there"
_BROKER_EARLY = "the broker's certificate is not valid yet: look at both clocks"
_BROKER_NAME = "the broker's certificate is not for this name: connect to a host that stands in it"
_BROKER_AUTHORITY = "another authority signed the broker's certificate: let tls_ca name the right one"
_OURS_MISSING = "the broker wants a certificate of ours: set tls_cert and tls_key"
_OURS_AUTHORITY = (
    "the broker does not know who signed our certificate: let tls_cert name one of its authority"
)
_OURS_EXPIRED = "our certificate has expired: renew tls_cert"
_OURS_REVOKED = "our certificate is revoked: have one issued anew for tls_cert"
_OURS_REFUSED = "the broker does not accept our certificate: its log says why"
_NO_TLS = "is TLS spoken there at all? correct the port, or leave tls_ca out"

# What OpenSSL says, lower case and with blanks, the more telling first.
_REMEDIES = (
    ("alert certificate expired", _OURS_EXPIRED),
    ("alert certificate revoked", _OURS_REVOKED),
    ("alert unknown ca", _OURS_AUTHORITY),
    ("alert certificate required", _OURS_MISSING),
    ("alert certificate unknown", _OURS_REFUSED),
    ("alert bad certificate", _OURS_REFUSED),
    ("alert handshake failure", _OURS_MISSING),
    ("certificate has expired", _BROKER_EXPIRED),
    ("certificate is not yet valid", _BROKER_EARLY),
    ("mismatch", _BROKER_NAME),
    ("self-signed certificate", _BROKER_AUTHORITY),
    ("self signed certificate", _BROKER_AUTHORITY),
    ("unable to get local issuer", _BROKER_AUTHORITY),
    ("certificate verify failed", _BROKER_AUTHORITY),
    ("wrong version number", _NO_TLS),
    ("record layer failure", _NO_TLS),
    ("connection reset by peer", _NO_TLS),
)


class TlsFilesError(ValueError):
    """A certificate or key cannot be used; ``name`` is ``tls_ca``, ``tls_cert`` or ``tls_key``."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


class BrokerContext(ssl.SSLContext):
    """A context for one connection; ``alert`` is what the broker last held against us.

    In TLS 1.3 a broker refuses our certificate only after the handshake, when nobody looks any more.
    """

    alert: str = ""


class _Socket(ssl.SSLSocket):
    """Closed if the handshake fails (paho leaves it open then), and remembers an alert."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except ssl.SSLError as error:
            if "ALERT" in str(error).upper() and isinstance(self.context, BrokerContext):
                self.context.alert = str(error)
            raise


def tls_context(
    ca: Path | str, cert: Path | str | None = None, key: Path | str | None = None, passphrase: str = ""
) -> BrokerContext:
    """Read certificates as they are now, for one connection: made anew for each, new ones are taken up.

    Args:
        ca: PEM of the authorities that may have signed the broker's certificate.
        cert: our own certificate, if the broker asks for one; ``key`` goes with it.
        key: its key.
        passphrase: of the key, if it has one.

    Raises:
        TlsFilesError: a file cannot be read, or is not what it should be.
    """
    context = BrokerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags = ssl.create_default_context().verify_flags
    context.sslsocket_class = _Socket
    try:
        context.load_verify_locations(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise TlsFilesError("tls_ca", f"{ca} cannot be used: {error}: {_about(error)}") from error
    if cert is None:
        return context
    try:
        # Always given: without it OpenSSL would ask on the terminal.
        context.load_cert_chain(str(cert), None if key is None else str(key), password=lambda: passphrase)
    except (OSError, ssl.SSLError) as error:
        detail = f"{cert} with {key} cannot be used: {error}: {_about(error, key)}"
        raise TlsFilesError("tls_cert", detail) from error
    return context


def explain_tls(error: BaseException | str, context: ssl.SSLContext | None) -> str:
    """Say what to do about a connection that failed; empty if it did not fail because of TLS."""
    if context is None:
        return ""
    alert = context.alert if isinstance(context, BrokerContext) else ""
    text = f"{alert} {error}".lower().replace("_", " ")
    return next((remedy for sign, remedy in _REMEDIES if sign in text), "")


def _about(error: OSError, key: Path | str | None = None) -> str:
    if not isinstance(error, ssl.SSLError):
        return "correct the path, or let this program's user read it"
    if "KEY_VALUES_MISMATCH" in str(error):
        return "the key is not this certificate's"
    if key is not None and "ENCRYPTED" in _text_of(key):
        return "the passphrase of the key is missing or wrong"
    return "it must be a PEM file of the right kind"


def _text_of(path: Path | str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
