"""What can be read of a running guard."""

from __future__ import annotations

from guard.measuring import measure, what_is_wrong
from guard.meters import Distribution, Distributions, Meter
from perpguard_sdk.messages import Entries
from tests.guard.test_runner import Stage
from tests.support.builders import ALPHA, MARKET, SaysWhatItIsTold, born, features, finding, reported
from tests.support.eventually import eventually


def values(stage: Stage) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in measure(stage.runner):
        if isinstance(each, Distribution):
            found[each.name] = each.latency.count
        elif isinstance(each, Distributions):
            for value, latency in each.latencies.items():
                found[f"{each.name} {value}"] = latency.count
        else:
            for sample in each.samples:
                found[" ".join([each.name, *sample.labels.values()])] = sample.value
    return found


async def test_it_tells_events_findings_bots_and_commands() -> None:
    stage = Stage(policies=[SaysWhatItIsTold([finding(entries=Entries.HALTED)])])
    async with stage.running():
        await stage.tick(2)
        await stage.take_in(born(0.5), reported(0.5), features(0.5))
        await eventually(lambda: len(stage.sink.commands) == 1)
        await stage.tick(2)
        found = values(stage)

    assert found["events tick"] == 4
    assert found["events bot_born"] == 1
    assert found["event_process_seconds"] == sum(
        value for name, value in found.items() if name.startswith("events ")
    )
    assert found["commands pause"] >= 1
    assert found[f"bot_online {ALPHA}"] == 1
    assert found["link_up broker"] == found["link_up engine"] == 1
    assert found["epoch"] == 1
    assert sum(value for name, value in found.items() if name.startswith("findings ")) >= 1
    assert f"markets {MARKET.split(':')[0]} unsynced" not in found
    assert found["hop_seconds decide"] == found["hop_seconds publish"] == found["commands pause"] - 1
    assert found["hop_seconds bot"] == 0, "no bot has answered"
    assert found["shedding"] == found["events_waiting far"] == 0


async def test_health_says_that_there_is_no_epoch_or_that_the_engine_is_stuck() -> None:
    stage = Stage()
    assert "no epoch" in what_is_wrong(stage.runner)
    async with stage.running():
        await stage.tick()
        assert what_is_wrong(stage.runner) == ""
        stage.clock.advance(4_000.0)
        assert "no Tick for 4.0 s" in what_is_wrong(stage.runner)


async def test_every_measure_has_a_name_and_a_help_of_its_own() -> None:
    measured = list(measure(Stage().runner))
    names = [each.name for each in measured]

    assert len(set(names)) == len(names)
    assert all(each.help for each in measured)
    assert all(isinstance(each, Distribution | Distributions | Meter) for each in measured)
