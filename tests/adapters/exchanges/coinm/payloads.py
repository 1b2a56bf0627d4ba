"""COIN-M payloads as the venue's documents show them; each file names its source and date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "fixtures"


def fixture(name: str) -> Any:
    """The payload of one file, anew each time."""
    return json.loads((_FOLDER / f"{name}.json").read_text())["payload"]
