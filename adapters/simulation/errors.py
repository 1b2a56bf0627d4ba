"""How the venue refuses: Binance's code, message and HTTP status."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - it is an answer to the client, not a fault of the venue
    """A request that the venue refuses, as Binance would.

    Attributes:
        code: Binance's negative error code.
        message: Binance's text for it.
        status: the HTTP status.
    """

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status


def missing(name: str) -> Refusal:
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str) -> Refusal:
    return Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")


def invalid_symbol() -> Refusal:
    return Refusal(-1121, "Invalid symbol.")


def insufficient_margin() -> Refusal:
    return Refusal(-2019, "Margin is insufficient.")


def unknown_order() -> Refusal:
    return Refusal(-2011, "Unknown order sent.")


def no_such_order() -> Refusal:
    return Refusal(-2013, "Order does not exist.")


def out_of_service() -> Refusal:
    return Refusal(-1001, "Internal error; unable to process your request. Please try again.", 503)


def invalid_key() -> Refusal:
    return Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def invalid_signature() -> Refusal:
    return Refusal(-1022, "Signature for this request is not valid.")
