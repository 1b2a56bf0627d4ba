"""No broker, or a wrong password: the daemon says how to mend it, decides on, and connects when it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guard.audit import Step
from guard.findings import Reason
from tests.support.brokers import mosquitto
from tests.support.eventually import eventually
from tests.support.processes import Program
from tests.support.stage import Ground, Site, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance


@together
async def test_without_a_broker_it_decides_on_and_connects_when_one_appears(tmp_path: Path) -> None:
    place = tmp_path / "later"
    place.mkdir()
    async with mosquitto(place) as broker, ground(tmp_path, broker=broker) as here:
        await broker.kill()
        site = await _site(here)
        daemon = site.daemon()
        await daemon.start()
        await _expect_logged(daemon, "broker away", "start the broker or correct broker.host and port")

        async def decides() -> bool:
            records = await site.records() if site.audit_path.exists() else []
            return any(
                isinstance(record, Step) and finding.reason is Reason.BROKER_DOWN
                for record in records
                for finding in getattr(record, "opened", ())
            )

        await eventually(decides, within_s=20.0, every_s=0.2, what="broker_down among its findings")
        assert daemon.runs
        await broker.start()
        assert await site.decides() == 1


@together
async def test_a_wrong_password_is_said_and_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "guarded"
    place.mkdir()
    users = {"tap": "tap's password", "guard": "right"}
    async with mosquitto(place, users=users) as broker, ground(tmp_path, broker=broker) as here:
        site = await _site(here)
        (site.folder / "password").write_text("wrong")
        (site.folder / "password").chmod(0o600)
        daemon = site.daemon(broker={"claim_quiet_s": 0.5, "username": "guard", "password_file": "password"})
        await daemon.start()
        await _expect_logged(daemon, "broker away", "password")
        assert daemon.runs
        # The operator gives the broker the password that the guard has.
        await broker.kill()
        _change_password(place, "guard", "wrong")
        await broker.start()
        assert await site.decides() == 1
        assert '"wrong"' not in daemon.tail(1_000_000)


async def _site(here: Ground) -> Site:
    return await here.site("home", [], broker={"claim_quiet_s": 0.5})


async def _expect_logged(daemon: Program, event: str, part: str) -> dict[str, Any]:
    def find() -> dict[str, Any] | None:
        lines = [line for line in daemon.events() if line.get("event") == event]
        return next((line for line in lines if part in str(line)), None)

    return (await eventually(find, within_s=20.0, every_s=0.1, what=f"{event} with {part}")) or {}


def _change_password(folder: Path, user: str, password: str) -> None:
    from tests.support.brokers import _mosquitto_password

    path = folder / "passwords"
    others = [line for line in path.read_text().splitlines() if not line.startswith(f"{user}:")]
    path.write_text("\n".join([*others, _mosquitto_password(user, password)]))
