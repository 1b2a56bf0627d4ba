"""Loads the numbers that were fitted for the estimators: they lie beside the code, versioned."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from guard.errors import ArtefactInvalidError
from guard.hazard.artefact import Outlook, check_format
from guard.hazard.experts import Experts

OUTLOOK = "outlook-1.json"


def outlook_document(path: Path | None = None) -> bytes:
    """Read the artefact that is shipped, or another file. ArtefactInvalidError where it cannot be read."""
    found = files("guard") / "artefacts" / OUTLOOK if path is None else path
    try:
        return found.read_bytes()
    except OSError as error:
        raise ArtefactInvalidError(str(found), f"it cannot be read: {error.strerror}") from error


def load_experts(path: Path | None = None) -> Experts:
    """Take the experts of the artefact that is shipped, or of another file.

    ArtefactInvalidError names what is wrong with it: not JSON, of another format, made for other features, a number
    that is none.
    """
    raw = outlook_document(path)
    try:
        check_format(msgspec.json.decode(raw, type=dict[str, object]))
        document = msgspec.json.decode(raw, type=Outlook)
    except msgspec.DecodeError as error:
        raise ArtefactInvalidError(OUTLOOK if path is None else str(path), str(error)) from error
    return Experts.of(document)
