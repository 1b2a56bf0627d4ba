"""The commands that copy the record away and put it back."""

from __future__ import annotations

import contextlib
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from guard.cli.shared import DEFAULT_SETTINGS, JsonOption, SettingsOption, errors_told, print_json
from guard.errors import SettingsError


def backup(
    destination: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    samples: Annotated[bool, typer.Option("--samples", help="Take complete files of samples along.")] = False,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Copy the record, its segments and the settings, also while the guard runs, and verify the copy."""
    with errors_told(as_json=as_json):
        from adapters.clock import SystemClock  # noqa: PLC0415
        from adapters.storage.backup import back_up  # noqa: PLC0415
        from guard.configuration import load  # noqa: PLC0415

        loaded = load(settings)
        manifest = back_up(
            loaded.audit.path,
            destination,
            made_at=SystemClock().now(),
            software_version=version_of("perpguard"),
            settings_text=_without_secrets(settings),
            samples=loaded.samples.folder(loaded.audit.path) if samples else None,
        )
    if as_json:
        print_json({"ok": True, "backup": str(destination), **msgspec.to_builtins(manifest)})
        return
    size_mb = sum(file.size_bytes for file in manifest.files) / 1e6
    typer.echo(
        f"{destination}: {manifest.records} records, {len(manifest.files)} files, {size_mb:.1f} MB, verified; "
        f"last hash {manifest.last_hash}"
    )


def restore(
    source: Annotated[Path, typer.Argument(help="A folder that perpguard backup made.")],
    force: Annotated[bool, typer.Option("--force", help="Keep a record that is there aside.")] = False,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Verify a backup and put its record back where the settings say; settings themselves stay as they are."""
    with errors_told(as_json=as_json):
        from adapters.clock import SystemClock  # noqa: PLC0415
        from adapters.storage import backup as backing_up  # noqa: PLC0415
        from guard.configuration import load  # noqa: PLC0415

        loaded = load(settings)
        path = loaded.audit.path
        done = backing_up.restore(
            source, path, now=SystemClock().now(), force=force, samples=loaded.samples.folder(path)
        )
    if as_json:
        aside = str(done.aside) if done.aside else None
        print_json(
            {"ok": True, "audit": str(path), "records": done.records, "epoch": done.epoch, "aside": aside}
        )
        return
    kept = f"; what was there is kept as {done.aside}" if done.aside else ""
    typer.echo(f"{path}: {done.records} records are back, the next epoch is above {done.epoch}{kept}")


def _without_secrets(path: Path) -> str | None:
    """The text of the settings; they name files of secrets and hold none, but somebody may have pasted one."""
    if not path.is_file():
        return None
    from guard.configuration import load, resolve_secrets  # noqa: PLC0415

    text = path.read_text()
    # Where a secret is missing the guard could not start either; the settings go along as they are.
    with contextlib.suppress(SettingsError):
        for secret in resolve_secrets(load(path), "settings").values():
            text = text.replace(secret.decode(errors="replace").strip(), "***")
    return text
