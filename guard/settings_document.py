"""Writes docs/settings.md from the settings' own types: ``python -m guard.settings_document > docs/settings.md``."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator

from pydantic import BaseModel

from guard.settings_shape import REQUIRED, Item, items_of, plain, type_name, walk

INTRODUCTION = """\
# Settings

<!-- Made by `python -m guard.settings_document > docs/settings.md`; a test compares the two. -->

perpguard reads one TOML file, `settings.toml` in the working folder unless `--settings` names another, and
lays environment variables over it. A setting that is unknown, impossible or missing is an error that names
its path, its line, and the nearest right name; nothing connects before everything is right.
`perpguard check` does only that and ends 0 or 2.

- **Environment.** `PERPGUARD_BROKER__HOST` sets `host` in `[broker]`, `PERPGUARD_VENUES__0__SAMPLE_MS` that of
  the first `[[venues]]`; lists and tables are written as JSON.
- **Secrets** never stand here. Each has two settings, `X_file` (a file that holds the secret and nothing
  else; `chmod 600`) and `X_env` (the name of an environment variable); give one of them.
- **Paths** that are relative, defaults too, are relative to the folder of the settings file.
- Everything that can be left out has its default below.
"""


def settings_document(model: type[BaseModel]) -> str:
    """Describe every table and setting of ``model`` in Markdown."""
    return INTRODUCTION + "".join(_tables(model))


def _tables(model: type[BaseModel]) -> Iterator[str]:
    for path, kind in walk(model):
        items = [item for item in items_of(kind).values() if item.table is None and item.inner is None]
        if not items:
            continue
        yield f"\n## `{_heading(path)}`\n\n{_about(kind)}\n\n"
        yield "| setting | type | default | meaning |\n|---|---|---|---|\n"
        for item in items:
            meaning = item.description[:1].upper() + item.description[1:]
            yield f"| `{item.name}` | {_type(item)} | {_default(item)} | {_cell(meaning)} |\n"


def _heading(path: tuple[str, ...]) -> str:
    if path[-1] == "0":
        return f"[[{'.'.join(path[:-1])}]]"
    return f"[{'.'.join(part for part in path if part != '0')}]"


def _about(kind: type) -> str:
    text = inspect.getdoc(kind) or ""
    return text.partition("\nAttributes:")[0].strip().replace("``", "`")


def _type(item: Item) -> str:
    return _cell(type_name(item.annotation) + (f", {item.limits}" if item.limits else ""))


def _default(item: Item) -> str:
    if item.default is REQUIRED:
        return "must be set"
    return "none" if item.default is None else f"`{_cell(json.dumps(plain(item.default)))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("``", "`")


if __name__ == "__main__":
    from guard.configuration import Settings

    sys.stdout.write(settings_document(Settings))
