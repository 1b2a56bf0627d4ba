"""People overrule the guard over a real broker: told, listed and withdrawn by command, heard by the guard."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from guard.cli import cli
from guard.events import InstructionSeen
from perpguard_sdk.messages import Entries, InstructionKind
from perpguard_sdk.topics import Topics
from tests.support.brokers import mosquitto
from tests.support.guarded_brokers import SITE
from tests.support.mqtt_ends import Site

KEY = b"the key of instructions"
MARKET = "bybit:BTC/USDT:USDT"


def perpguard(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["override", *arguments, "--settings", str(folder / "settings.toml")])


async def test_people_pause_and_withdraw_from_the_command_line(tmp_path: Path) -> None:
    key_file = tmp_path / "instruction.key"
    key_file.write_bytes(KEY + b"\n")
    async with mosquitto(tmp_path) as broker:
        (tmp_path / "settings.toml").write_text(
            f'[broker]\nkind = "external"\nhost = "{broker.host}"\nport = {broker.port}\n'
            f'instruction_key_file = "{key_file}"\n[[venues]]\nid = "bybit"\nsymbols = ["BTC/USDT:USDT"]\n'
        )

        async def run(*arguments: str) -> Result:
            return await asyncio.to_thread(perpguard, tmp_path, *arguments)

        site = Site(broker, "5")
        async with site.guard(instruction_key_file=key_file) as guard:
            paused = await run(
                "pause", "--market", MARKET, "--for", "2h", "--because", "odd fills", "--by", "ada", "--json"
            )
            assert paused.exit_code == 0, paused.output
            heard = (await guard.expect(InstructionSeen)).instruction
            assert (heard.kind, heard.entries, heard.market) == (
                InstructionKind.PAUSE,
                Entries.REDUCE_ONLY,
                MARKET,
            )
            assert heard.expires_at - heard.ts == 2 * 3_600_000

            words = await run("list")
            assert words.stdout.startswith(f"{heard.id}  holds  pause: {MARKET}  until ")
            assert words.stdout.endswith("ada: odd fills\n")

            gone = await run("withdraw", heard.id, "--because", "all well")
            assert gone.exit_code == 0, gone.output
            assert (await guard.expect(InstructionSeen, 2)).instruction.withdrawn

            planned = await run(
                "silence", "--venue", "bybit", "--from", "2999-01-01T00:00", "--for", "1h", "--because", "x"
            )
            assert planned.exit_code == 2
            assert "60 days ahead" in planned.output

        async with site.client() as stranger:
            await stranger.publish(Topics(site=SITE).instruction("forged"), b"{}", qos=1, retain=True)
        listed = await run("list", "--json")
        assert listed.exit_code == 1, listed.output
        assert {line["id"]: line["state"] for line in json.loads(listed.stdout)} == {
            "forged": "refused",
            heard.id: "withdrawn",
        }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause", "--for", "73h", "--because", "x"), "72 hours at most"),
        (("pause", "--for", "soon", "--because", "x"), "write 90m"),
        (("pause", "--for", "1h", "--because", " "), "who it is, and why"),
        (("ignore", "--for", "1h", "--because", "x"), "which reasons"),
        (("ignore", "--reason", "bad_luck", "--for", "1h", "--because", "x"), "is none"),
        (("cap", "--size", "1", "--for", "1h", "--because", "x"), "name the market"),
        (("silence", "--from", "tomorrow", "--for", "1h", "--because", "x"), "write a time in UTC"),
        (("halt", "--for", "1h", "--because", "x"), "no key signs"),
        (("release", "--because", "x"), "no key signs"),
        (("withdraw", "halt-1"), "no key signs"),
        (("list",), "no key signs"),
    ],
)
def test_what_cannot_be_told_is_said_before_anything_connects(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text(
        '[[venues]]\nid = "bybit"\nsymbols = ["BTC/USDT:USDT"]\n[broker]\nkind = "external"\nport = 1\n'
    )
    result = perpguard(tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.output


def test_what_may_be_ignored_is_listed() -> None:
    told = json.loads(CliRunner().invoke(cli, ["override", "reasons", "--json"]).stdout)

    assert "depth_thin" in told
    assert "instructed" not in told
