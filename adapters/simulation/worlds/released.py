"""What of the made-up markets was released, by ``tag.parts``: these may not change any more, others may be added."""

from __future__ import annotations

from collections.abc import Mapping

RELEASED: Mapping[str, str] = {}
