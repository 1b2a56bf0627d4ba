"""Where the audit lies and how much of it is written at once."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """Where decisions are kept, with what caused them and what came of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(
        default=Path("var/audit.sqlite3"),
        description="The database that keeps every decision, one for each guard; its folder is made.",
    )
