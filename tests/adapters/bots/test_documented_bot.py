"""The bot of docs/how-to/guard-a-bot.md, word for word: it trades through real ccxt and obeys over a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from adapters.simulation import LoopbackVenue, VenueAccountSpec
from perpguard_sdk.messages import AckStatus, Entries, Mode, Pause, StopRule, WidenStops
from tests.adapters.bots.test_paper_on_loopback import running, size_of, stops_of
from tests.adapters.simulation.steady import SteadySource
from tests.sdk.bench import KEY, Guard
from tests.sdk.wire_guard import GuardOnTheWire
from tests.support.brokers import Broker
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs/how-to/guard-a-bot.md"


@contextlib.asynccontextmanager
async def documented_bot(folder: Path, venue: LoopbackVenue, broker: Broker) -> AsyncIterator[None]:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    (folder / "my_bot.py").write_text(found.group(1))
    for name, secret in (
        ("secrets/alpha.key", KEY),
        ("secrets/alpha.api_key", b"key-alpha"),
        ("secrets/alpha.api_secret", b"secret-alpha"),
        ("secrets/alpha.bot.toml", _snippet(broker)),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(secret + b"\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "my_bot.py",
        cwd=folder,
        env=os.environ
        | {
            "VENUE_URLS": json.dumps(venue.ccxt_urls()),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}",
        },
    )
    try:
        yield
        assert process.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _snippet(broker: Broker) -> bytes:
    """As ``perpguard bots add`` writes it, for a broker that asks for no password."""
    lines = [
        'bot = "alpha"',
        'key_file = "alpha.key"',
        'guard = "guard-1"',
        'mode = "paper"',
        'site = "home"',
    ]
    lines += ['venue = "binanceusdm"', 'account = "main"', 'symbols = ["BTC/USDT:USDT"]']
    lines += ['host = "127.0.0.1"', f"port = {broker.port}", 'protocol = "3.1.1"']
    return "\n".join(lines).encode()


async def test_it_enters_when_allowed_and_obeys_each_verb(tmp_path: Path, mosquitto_broker: Broker) -> None:
    account = VenueAccountSpec("alpha", "key-alpha", "secret-alpha", 100_000.0)
    guard = GuardOnTheWire(mosquitto_broker, Guard(mode=Mode.PAPER))
    source = SteadySource((60_000.0,) * 600, size=50.0)
    async with (
        LoopbackVenue(source, accounts=(account,)) as venue,
        running(guard),
        documented_bot(tmp_path, venue, mosquitto_broker),
    ):
        await eventually(lambda: guard.bot_session != "", within_s=30)
        await guard.posture()
        await eventually(lambda: size_of(venue) == 1.5, within_s=30)
        cut = await guard.command(max_size=0.7, max_leverage=3.0)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(cut), within_s=10)
        assert size_of(venue) == 0.7
        widen = await guard.command(kind=WidenStops, max_size=0.25, stop=StopRule(stop_price=54_000.0))
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(widen), within_s=10)
        assert (size_of(venue), stops_of(venue)) == (0.25, [54_000.0])
        pause = await guard.command(kind=Pause, entries=Entries.HALTED)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(pause), within_s=10)
        await eventually(
            lambda: (
                guard.reported is not None and guard.reported.entries.get("BTC/USDT:USDT") is Entries.HALTED
            )
        )
        assert guard.reported is not None
        assert [order.stop_price for order in guard.reported.orders] == [54_000.0]
