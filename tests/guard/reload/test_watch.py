"""When settings are read again: asked for, or changed and at rest; never half a file, never twice for one change."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from guard.reload.watch import ASKED, Watch
from tests.support.eventually import eventually

POLL_S = 0.02


@dataclass
class Scene:
    settings: Path
    secret: Path
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    looks_at_files: bool = True
    reasons: list[str] = field(default_factory=list)
    watch: Watch = field(init=False)
    polls: int = 0

    def __post_init__(self) -> None:
        self.settings.write_text("one")
        self.secret.write_text("key")
        self.watch = Watch(self.files, self.asked, POLL_S)
        self.watch.follow()

    def files(self) -> list[Path]:
        return [self.settings, self.secret]

    async def run(self) -> None:
        while True:
            self.reasons.append(await self.watch.reason(look_at_files=self.looks_at_files))
            self.watch.follow()

    def replace(self, text: str) -> None:
        new = self.settings.with_name("new")
        new.write_text(text)
        new.replace(self.settings)

    async def polled(self, times: int = 4) -> None:
        """Let it look so often."""
        loop = asyncio.get_running_loop()
        until = loop.time() + times * POLL_S * 2
        await eventually(lambda: loop.time() > until)


@asynccontextmanager
async def watching(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path / "settings.toml", tmp_path / "alpha.key")
    task = asyncio.create_task(scene.run())
    try:
        yield scene
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_file_that_is_replaced_is_a_reason_once(tmp_path: Path) -> None:
    async with watching(tmp_path) as scene:
        scene.replace("two")
        await eventually(lambda: scene.reasons)
        await scene.polled()
        assert scene.reasons == ["settings.toml changed"]
        scene.secret.write_text("another key")
        await eventually(lambda: len(scene.reasons) == 2)
        assert scene.reasons[1] == "alpha.key changed"


async def test_what_only_looks_newer_is_none(tmp_path: Path) -> None:
    async with watching(tmp_path) as scene:
        scene.replace("one")
        os.utime(scene.secret)
        await scene.polled(8)
        assert scene.reasons == []


async def test_a_file_that_is_still_written_is_waited_for(tmp_path: Path) -> None:
    async with watching(tmp_path) as scene:
        loop = asyncio.get_running_loop()
        until, text = loop.time() + POLL_S * 12, ""
        while loop.time() < until:
            text += "x"
            scene.replace(text)
            await asyncio.sleep(0)
        assert scene.reasons == []
        await eventually(lambda: scene.reasons)
        assert len(scene.reasons) == 1


async def test_a_file_that_is_gone_is_a_reason_and_its_return_another(tmp_path: Path) -> None:
    async with watching(tmp_path) as scene:
        scene.settings.unlink()
        await eventually(lambda: len(scene.reasons) == 1)
        scene.replace("one")
        await eventually(lambda: len(scene.reasons) == 2)


async def test_who_asks_is_heard_and_the_change_is_not_told_again(tmp_path: Path) -> None:
    async with watching(tmp_path) as scene:
        scene.replace("two")
        scene.asked.set()
        await eventually(lambda: scene.reasons)
        await scene.polled(8)
        assert scene.reasons == [ASKED]


async def test_files_that_nobody_wants_watched_are_not(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "settings.toml", tmp_path / "alpha.key", looks_at_files=False)
    task = asyncio.create_task(scene.run())
    scene.replace("two")
    await scene.polled(6)
    assert scene.reasons == []
    task.cancel()
    await asyncio.wait([task])


def test_a_change_that_comes_while_the_former_is_read_is_another(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "settings.toml", tmp_path / "alpha.key")
    scene.replace("two")
    assert [scene.watch._changed() for _ in range(3)] == ["", "settings.toml", ""]
    scene.replace("three")  # while "two" is read
    scene.watch.follow()
    assert [scene.watch._changed() for _ in range(3)] == ["", "settings.toml", ""]
