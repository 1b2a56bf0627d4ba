"""Where decisions and samples lie, how large they may grow, and how long they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MB = 1024 * 1024


class AuditSettings(BaseModel):
    """Where decisions are kept, with what caused them and what came of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(
        default=Path("var/audit.sqlite3"),
        description="The database that keeps every decision, one for each guard; its folder is made.",
    )
    margin_terms: Path | None = Field(
        default=None,
        description="Folder that keeps what venues last said of margin over restarts; left out: margin-terms beside "
        "the database",
    )
    rotate_mb: float = Field(
        default=64.0,
        gt=0.0,
        le=4096.0,
        description="when it holds so much, its records become a read-only segment in PATH.segments",
    )
    rotate_days: float = Field(
        default=30.0, gt=0.0, le=3660.0, description="or when its oldest record is so old"
    )
    keep_days: float = Field(
        default=730.0, gt=0.0, le=36600.0, description="segments whose last record is older are removed"
    )
    keep_mb: float = Field(
        default=2000.0,
        gt=0.0,
        description="the oldest segments are removed while segments take more, but none younger than keep_days_min",
    )
    keep_days_min: float = Field(
        default=30.0,
        ge=0.0,
        le=36600.0,
        description="no segment with a record younger than this is removed, however short the space is",
    )
    quota_mb: float = Field(
        default=4000.0,
        gt=0.0,
        description="decisions and samples together: above it the oldest samples go first, then segments",
    )
    free_mb_min: float = Field(
        default=200.0,
        ge=0.0,
        description="with less left on the disk samples stop, and what may be removed is removed",
    )

    @property
    def margin_terms_folder(self) -> Path:
        """Where what venues last said of margin is kept."""
        return self.margin_terms or self.path.with_name("margin-terms")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.keep_days_min > self.keep_days:
            raise ValueError("keep_days_min is more than keep_days: nothing could ever be removed by age")
        return self


class SamplesSettings(BaseModel):
    """What the engine judged by, kept for a while so that a decision can be looked at later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=True, description="keep what the engine judged by; the record of decisions needs none of it"
    )
    path: Path | None = Field(
        default=None, description="their folder; left out: PATH.samples beside the record of decisions"
    )
    keep_mb: float = Field(
        default=1024.0, gt=0.0, description="the oldest are removed while they take more than this"
    )
    keep_days: float = Field(default=14.0, gt=0.0, le=3660.0, description="and those that are older")
    file_mb: float = Field(
        default=32.0,
        gt=0.0,
        le=1024.0,
        description="a file of samples ends at midnight UTC, or when so large",
    )

    def folder(self, audit: Path) -> Path:
        """Where they lie, for a record of decisions at ``audit``."""
        return self.path or audit.with_name(audit.name + ".samples")
