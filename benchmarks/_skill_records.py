"""What the estimators said of an episode, kept beside the episodes: a run that was broken off goes on where it ended.

A record is found by its episode's file, the seed, and a digest of the code and fitted numbers that could change it:
with any of them another one is made. Records of the last ``KEPT`` digests stay.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._frame import ROOT
from benchmarks._skill_episodes import SkillTask, path_of, read_arrays, skill_folder, write_arrays
from benchmarks._skill_tables import DIRECTIONS, EXPERT, OFTEN, WHOLE, EpisodeRun, MarketRun, Table
from guard.units import MarketId

FORMAT = 1
"""Goes up when what is in a record changes."""

KEPT = 3
"""Of the code of so many versions records are kept; each is some 1 GB for a whole test split."""

SOURCES = (
    "guard/artefacts",
    "guard/calibration",
    "guard/hazard",
    "guard/leverage",
    "guard/outlook",
    "guard/signals",
    "guard/skill",
    "guard/forecasts.py",
    "guard/models.py",
    "guard/readings.py",
    "guard/units.py",
    "benchmarks/_skill_chain.py",
    "benchmarks/_skill_columns.py",
    "benchmarks/_skill_maps.py",
    "benchmarks/_skill_observables.py",
    "benchmarks/_skill_tables.py",
)
"""What decides of a record; folders are whole ones."""

TEXTS = frozenset((".py", ".pxd", ".json"))
FOLDER = "records"
TABLES: Mapping[str, Mapping[str, int]] = {"often": OFTEN, "whole": WHOLE, "oracle": WHOLE}
SEPARATOR = "|"
Arrays = NDArray[Any]


@functools.cache
def code_digest() -> str:
    """Twelve digits of the code and fitted numbers that records are made by, as they lie on disk at the first call."""
    digest = hashlib.sha256(f"{FORMAT} numpy {np.__version__}\n".encode())
    for source in SOURCES:
        place = ROOT / source
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.suffix in TEXTS:
                digest.update(f"{path.relative_to(ROOT)}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def record_path(task: SkillTask, seed: int, digest: str, folder: Path | None = None) -> Path:
    """Where the record of an episode belongs; FileNotFoundError where the episode is not made."""
    episode = path_of(task, folder)
    state = episode.stat()
    told = f"{episode.name} {state.st_size} {state.st_mtime_ns} {seed}"
    name = hashlib.sha256(told.encode()).hexdigest()[:16]
    where = (folder or skill_folder()) / FOLDER / digest
    return where / f"{task.split}-{task.level}-{task.world}-{task.number:03d}-{name}.npz"


def read_record(path: Path) -> EpisodeRun | None:
    """The record at this place; ``None`` where there is none or it is damaged."""
    try:
        return _run_of(read_arrays(path))
    except (FileNotFoundError, ValueError, KeyError):
        return None


def write_record(path: Path, run: EpisodeRun) -> None:
    """Keep what was said of an episode."""
    write_arrays(path, _arrays_of(run))


def forget_former(digest: str, folder: Path | None = None) -> None:
    """Remove the records of all code but that of now and of the last ones before."""
    where = (folder or skill_folder()) / FOLDER
    if not where.is_dir():
        return
    others = [each for each in where.iterdir() if each.is_dir() and each.name != digest]
    others.sort(key=lambda each: each.stat().st_mtime, reverse=True)
    for former in others[KEPT - 1 :]:
        shutil.rmtree(former, ignore_errors=True)


def _arrays_of(run: EpisodeRun) -> dict[str, Arrays]:
    """All of it by names: number of the market, field, and keys within."""
    found: dict[str, Arrays] = {}
    markets = []
    for at, market in enumerate(run.markets):
        plain: dict[str, Any] = {}
        for each in fields(MarketRun):
            value = getattr(market, each.name)
            if isinstance(value, str | int | float):
                plain[each.name] = value
            else:
                _flatten(f"{at}{SEPARATOR}{each.name}", value, found)
        markets.append(plain)
    told = json.dumps({"name": run.name, "mechanism": run.mechanism, "markets": markets})
    return found | {"facts": np.frombuffer(told.encode(), np.uint8)}


def _flatten(name: str, value: Any, found: dict[str, Arrays]) -> None:
    if isinstance(value, Table):
        found[name] = value.values
    elif isinstance(value, Mapping):
        for key, within in value.items():
            _flatten(f"{name}{SEPARATOR}{key}", within, found)
    else:
        found[name] = value


def _run_of(arrays: Mapping[str, Arrays]) -> EpisodeRun:
    facts = json.loads(bytes(arrays["facts"]).decode())
    trees: list[dict[str, Any]] = [dict(plain) for plain in facts["markets"]]
    for name, array in arrays.items():
        if name == "facts":
            continue
        at, *keys, last = name.split(SEPARATOR)
        tree = trees[int(at)]
        for key in keys:
            tree = tree.setdefault(key, {})
        tree[last] = array
    return EpisodeRun(facts["name"], [_market_of(tree) for tree in trees], facts["mechanism"])


def _market_of(tree: dict[str, Any]) -> MarketRun:
    tree["market"] = MarketId(tree["market"])
    for name in ("seen", "onset_rows"):
        tree[name] = {direction: tree[name][direction.value] for direction in DIRECTIONS}
    for name, widths in TABLES.items():
        tree[name] = Table.holding(tree[name], widths)
    tree["experts"] = {name: Table.holding(values, EXPERT) for name, values in tree["experts"].items()}
    return MarketRun(**tree)
