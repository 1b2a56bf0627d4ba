"""One command in few lines: what was asked of whom, why, what came of it, and by what ids to follow it. No I/O.

The same values make the text and what programs are told, so neither says what the other does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guard.audit import AnyRecord
from guard.bill_words import ENDS, VERDICTS, usd_words
from guard.billed import BillKind, BillLine, BillVerdict
from guard.commands import OutcomeKind
from guard.explain import ended_words
from guard.explain_outlook import regime_words
from guard.explain_reasons import reason_name, reason_words
from guard.explain_story import Standing, Story, ended, gather, main_finding, others, place_of, restricts
from guard.explain_words import (
    DRY_RUN,
    SEVERITIES,
    VERBS,
    changed_words,
    counterfactual_words,
    detail_words,
    duration_words,
    evidence_words,
    list_words,
    market_words,
    offer_words,
    posture_words,
    price_words,
    request_words,
    size_words,
    utc_words,
)
from guard.findings import Finding, Offer, Reason, Severity
from guard.units import NS_PER_MS, symbol_of, venue_of
from perpguard_sdk.messages import AckStatus, Command, CutLeverage, Evidence, Posture, Resume

EVIDENCE_SHOWN = 7
ALSO_SHOWN = 4
RUNG_NONE = "advise"
"""The ladder's lowest rung: nothing is asked."""

_BADNESS = tuple(Severity)

SOURCES = {
    "venue": "the venue's own positions and orders",
    "bot": "the bot's own report",
    "nobody": "nothing: nobody can tell",
}


@dataclass(frozen=True, slots=True)
class Brief:
    """A command in few lines: ``headline`` sentences, then labelled ones; ``told`` is the same for programs."""

    title: str
    headline: tuple[str, ...]
    parts: tuple[tuple[str, str], ...]
    told: Mapping[str, object]


def brief(records: Sequence[AnyRecord], command_id: str, numbers: Sequence[int] = ()) -> Brief | None:
    """Explain the command ``command_id`` (its full id) from ``records``, which are in order.

    Args:
        records: as for ``guard.explain.explain``.
        command_id: the full id.
        numbers: of the records in the audit, as many; without them none are told.

    Returns:
        ``None`` where the decision to give it is not among the records.
    """
    story = gather(records, command_id)
    command = story.command
    if command is None:
        return None
    main = None if isinstance(command, Resume) else main_finding(story, command)
    teller = _Teller(story, command, main, tuple(numbers))
    return Brief(
        title=f"Command {command_id}: {VERBS[command.verb]}, bot {command.bot}, {market_words(command)}",
        headline=tuple(teller.headline()),
        parts=tuple((label, words) for label, words in teller.parts() if words),
        told=teller.told(),
    )


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells one story."""

    story: Story
    command: Command
    main: Standing | None
    numbers: tuple[int, ...]

    # ---------------------------------------------------------------- what was asked, why, what came of it

    def headline(self) -> Iterator[str]:
        command = self.command
        paper = " (paper mode)" if command.dry_run else ""
        yield f"{utc_words(self.story.issued_at)}{paper}: the guard asked bot {command.bot} {self._request()}."
        yield self._because()
        yield from self._outcome()

    def _request(self) -> str:
        words = request_words(self.command)
        told = [each for each in (self._from_words(), self._slice_words()) if each]
        return words + (f" ({'; '.join(told)})" if told else "")

    def _from_words(self) -> str:
        """What it held, where the evidence says so."""
        held = next((each.value for each in self.command.evidence if each.name == "position"), None)
        if not isinstance(self.command, CutLeverage) or not isinstance(held, float | int):
            return ""
        return f"of {size_words(held, self.command.symbol)} that it held"

    def _slice_words(self) -> str:
        """That it is a slice of one way down, where it is."""
        command = self.command
        if not isinstance(command, CutLeverage):
            return ""
        parts = []
        pace = None if self.main is None else self.main.finding.limit.pace
        target = None if self.main is None else self.main.finding.limit.max_size
        if pace is not None and target is not None and command.max_size > target * 1.001:
            parts.append(
                f"a slice of one unwinding to {size_words(target, command.symbol)}: at most "
                f"{size_words(pace.slice_size, command.symbol)} every {duration_words(pace.interval_ms * NS_PER_MS)}"
            )
        if command.price_limit is not None:
            parts.append(f"no worse than at {price_words(command.price_limit)}")
        return "; ".join(parts)

    def _because(self) -> str:
        if isinstance(self.command, Resume):
            over = [ended_words(each, self.story.issued_at) for each in self._over()]
            if not over:
                return "Nobody asked for the restriction any more; what it was for is not in the records."
            return f"Because it was over, and stayed so: {'; '.join(dict.fromkeys(over))}."
        why = reason_words(self.command.reason)
        if self.main is None:
            return f"{why} The finding itself is not among the records."
        finding = self.main.finding
        stood = ""
        if self.main.opened_at is not None and self.story.issued_at > self.main.opened_at:
            stood = f"; it had stood for {duration_words(self.story.issued_at - self.main.opened_at)}"
        imminent = ", and so near that no budget of commands holds it back" if finding.imminent else ""
        return f"{why} Policy {finding.policy} called it {SEVERITIES[finding.severity]}{imminent}{stood}."

    def _outcome(self) -> Iterator[str]:
        outcome = self.story.outcome
        if outcome is None:
            gap = self.story.left_open
            yield (
                "No effect has been judged: the command was still open where the records end."
                if gap is None
                else f"No effect has been judged: its guard ended before, as found at {utc_words(gap.at)}."
            )
            return
        detail = outcome.detail or "no detail"
        if outcome.outcome is OutcomeKind.UNVERIFIABLE and detail.startswith(DRY_RUN):
            yield "It was a dry run: the bot obeys only a guard in the other mode, so nothing was expected of it."
            return
        when = f"{duration_words(outcome.judged_at - self.story.issued_at)} after the decision"
        source = SOURCES.get(outcome.source, outcome.source)
        word = outcome.outcome.value.capitalize()
        yield f"{word} {when}, judged from {source}: {detail_words(detail, self.command.symbol)}."
        if outcome.outcome is OutcomeKind.FAILED and self._is_said_applied():
            yield "The bot's answer that it had applied it is not believed: an ack proves nothing by itself."

    def _is_said_applied(self) -> bool:
        return any(ack.status is AckStatus.APPLIED for _, ack in self.story.acks)

    # ---------------------------------------------------------------- the rest, by label

    def parts(self) -> Iterator[tuple[str, str]]:
        yield "Evidence", self._evidence()
        yield "Otherwise", self._counterfactual()
        yield "Ladder", self._ladder()
        yield "Stage", self._stage()
        yield "Chain", self._chain()
        yield "Also stood", self._also()
        yield "By a human", "; ".join(self._instructions())
        yield "Settings", self._changed()
        yield "Instead", "; ".join(offer_words(each) for each in self._offers())
        yield "Bill", "" if self.story.billed is None else bill_in_short(self.story.billed)

    def _evidence(self) -> str:
        evidence = self._measured()
        words = [evidence_words(each, self.command.symbol) for each in evidence[:EVIDENCE_SHOWN]]
        if len(evidence) > EVIDENCE_SHOWN:
            words.append(f"{len(evidence) - EVIDENCE_SHOWN} more (--long)")
        state = self._state()
        return "; ".join([*words, *([state] if state else [])])

    def _measured(self) -> list[Evidence]:
        """What was held against a limit first."""
        known = self.command.evidence or (() if self.main is None else self.main.finding.evidence)
        return sorted(known, key=lambda each: each.limit is None)

    def _state(self) -> str:
        venue = place_of(self.story, self.command).venue
        told = [
            each
            for each in self.story.outlooks
            if symbol_of(each.market) == self.command.symbol and venue in {"", venue_of(each.market)}
        ]
        return f"state of the market: {regime_words(told[-1])}" if told and told[-1].regime else ""

    def _counterfactual(self) -> str:
        if self.main is None or not self.main.finding.counterfactual:
            return ""
        return counterfactual_words(self.main.finding.counterfactual)

    def _ladder(self) -> str:
        symbol, before, after = self.command.symbol, self.story.posture_before, self._posture()
        if after is None:
            return ""
        former = None if before is None else rung_of_posture(before, symbol)
        rung = rung_of_posture(after, symbol)
        moved = rung if former in {None, rung} else f"{former} -> {rung}"
        return f"{moved}; allowed from then on: {posture_words(after, symbol, in_short=True)}"

    def _stage(self) -> str:
        """How much of a usual entry a resume gives back, and what the rest waits for."""
        after = self._posture()
        if not isinstance(self.command, Resume) or after is None:
            return ""
        share = after.entry_share.get(self.command.symbol, 1.0)
        coming = next((each for each in self._others() if each.finding.reason is Reason.RESUMING), None)
        if coming is None or share >= 1.0:
            over = next((each for each in self._over() if each.finding.reason is Reason.RESUMING), None)
            had = "" if over is None else f"; before that {_recovered(over.finding)}"
            return f"new entries of {share:.0%} of their usual size{had}"
        waits = "; ".join(evidence_words(each, self.command.symbol) for each in coming.finding.evidence)
        rest = f"All of it comes back once {_recovered(coming.finding)}."
        return f"new entries of {share:.0%} of their usual size; of the market: {waits}. {rest}"

    def _posture(self) -> Posture | None:
        return self.story.posture_after or self.story.posture_before

    def _chain(self) -> str:
        """From finding to effect, by ids and numbers of records."""
        story, after = self.story, self._posture()
        steps = []
        if self.main is not None:
            finding = self.main.finding
            steps.append(f"finding {finding.policy}/{finding.reason}{self._record(self.main.index)}")
        if after is not None:
            steps.append(f"posture {after.version}")
        again = sum(attempt > 1 for _, attempt in story.attempts)
        sent = f", sent {again + 1} times" if again else ""
        with_it = f" with {list_words([each.id for each in story.companions])}" if story.companions else ""
        steps.append(f"command {self.command.id}{with_it}{self._record(story.issued_index)}{sent}")
        applied = [(at, ack) for at, ack in story.acks if ack.status is not AckStatus.RECEIVED]
        steps.append(
            f"bot: {applied[-1][1].status} after {duration_words(applied[-1][0] - story.issued_at)}"
            if applied
            else "bot: no answer"
        )
        if story.outcome is not None:
            steps.append(f"effect: {story.outcome.outcome}{self._record(story.outcome_index)}")
        if story.billed is not None:
            steps.append(f"bill{self._record(story.billed_index)}")
        return " -> ".join(steps)

    def _record(self, index: int | None) -> str:
        number = self._number(index)
        return "" if number is None else f" (record {number})"

    def _number(self, index: int | None) -> int | None:
        return self.numbers[index] if index is not None and index < len(self.numbers) else None

    def _also(self) -> str:
        told: dict[str, None] = {}
        for standing in self._others():
            finding = standing.finding
            if finding.reason is Reason.INSTRUCTED:
                continue
            quiet = f" (told of by {finding.inhibited_by} already)" if finding.inhibited_by else ""
            told[f"{reason_name(finding.reason)}{quiet}"] = None
        names = list(told)
        more = f"; {len(names) - ALSO_SHOWN} more (--long)" if len(names) > ALSO_SHOWN else ""
        return "; ".join(names[:ALSO_SHOWN]) + more

    def _others(self) -> list[Standing]:
        standing = others(self.story, self.main, self.command)
        if isinstance(self.command, Resume):
            standing = (each for each in standing if restricts(each.finding))
        return sorted(standing, key=lambda each: _BADNESS.index(each.finding.severity), reverse=True)

    def _over(self) -> list[Standing]:
        return ended(self.story, self.command) if isinstance(self.command, Resume) else []

    def _instructed(self) -> list[Finding]:
        found = [] if self.main is None else [self.main]
        return [
            each.finding for each in [*found, *self._others()] if each.finding.reason is Reason.INSTRUCTED
        ]

    def _instructions(self) -> Iterator[str]:
        for finding in self._instructed():
            said = {each.name: each.value for each in finding.evidence}
            about = f" about {str(said['about']).replace('_', ' ')}" if "about" in said else ""
            until = finding.counterfactual.partition(", or after ")[2]
            name = finding.policy.partition(":")[2]
            yield (
                f"{said.get('kind', 'instruction')}{about} by {said.get('told by', 'somebody')}: "
                f"{said.get('because', 'no reason told')}{f' (until {until})' if until else ''}, instruction {name}"
            )

    def _changed(self) -> str:
        """What was changed last in the settings that it was decided by."""
        reloaded = self.story.reloaded
        return "" if reloaded is None else changed_words(reloaded, self.story.issued_at)

    def _offers(self) -> list[Offer]:
        found = [] if self.main is None else list(self.main.finding.offers)
        for standing in self._others():
            found += [each for each in standing.finding.offers if each not in found]
        return found[:3]

    # ---------------------------------------------------------------- for programs

    def told(self) -> Mapping[str, object]:
        """The same with all ids: findings, postures, commands, records."""
        story, command, symbol = self.story, self.command, self.command.symbol
        place, before, after = place_of(story, command), story.posture_before, self._posture()
        return {
            "bot": command.bot,
            "symbol": symbol,
            "verb": command.verb.value,
            "account": place.account or None,
            "paper": command.dry_run,
            "reason": command.reason,
            "asked": {
                "at_ns": story.issued_at,
                "words": self._request(),
                "slice": self._slice_words() or None,
                "max_size": getattr(command, "max_size", None),
                "max_leverage": getattr(command, "max_leverage", None),
                "price_limit": getattr(command, "price_limit", None),
                "entries": getattr(command, "entries", None),
                "record": self._number(story.issued_index),
            },
            "because": self._because(),
            "evidence": [_evidence_told(each, symbol) for each in self._measured()],
            "state_of_the_market": self._state() or None,
            "counterfactual": self._counterfactual() or None,
            "finding": None if self.main is None else self._standing_told(self.main),
            "also_stood": [self._standing_told(each) for each in self._others()],
            "ended": [self._standing_told(each) for each in self._over()],
            "posture_before": None if before is None else before.version,
            "posture_after": None if after is None else after.version,
            "rung_before": None if before is None else rung_of_posture(before, symbol),
            "rung_after": None if after is None else rung_of_posture(after, symbol),
            "entry_share": None if after is None else after.entry_share.get(symbol, 1.0),
            "given_with": [each.id for each in story.companions],
            "attempts": len(story.attempts),
            "acks": [{"at_ns": at, "status": ack.status, "detail": ack.detail} for at, ack in story.acks],
            "effect": self._effect_told(),
            "offers": [
                {
                    "remedy": each.remedy,
                    "amount_usd": each.amount_usd,
                    "about": each.about,
                    "cost_usd": each.cost_usd,
                    "words": offer_words(each),
                }
                for each in self._offers()
            ],
            "instructions": list(self._instructions()),
            "settings_changed": self._changed() or None,
            "bill": self._bill_told(),
        }

    def _standing_told(self, standing: Standing) -> Mapping[str, object]:
        finding = standing.finding
        names = ("policy", "reason", "market", "account", "bot", "venue")
        return {
            "key": dict(zip(names, finding.key, strict=True)),
            "severity": finding.severity,
            "opened_at_ns": standing.opened_at,
            "closed_at_ns": standing.closed_at,
            "imminent": finding.imminent,
            "inhibited_by": finding.inhibited_by or None,
            "counterfactual": finding.counterfactual or None,
            "record": self._number(standing.index),
        }

    def _effect_told(self) -> Mapping[str, object] | None:
        outcome = self.story.outcome
        if outcome is None:
            return None
        return {
            "outcome": outcome.outcome,
            "source": outcome.source,
            "detail": outcome.detail,
            "judged_at_ns": outcome.judged_at,
            "record": self._number(self.story.outcome_index),
        }

    def _bill_told(self) -> Mapping[str, object] | None:
        line = self.story.billed
        if line is None:
            return None
        return {
            "verdict": line.verdict,
            "saved_usd": line.saved_usd,
            "cost_usd": line.cost_usd,
            "net_usd": line.net_usd,
            "missing": list(line.missing),
            "record": self._number(self.story.billed_index),
        }


def _evidence_told(evidence: Evidence, symbol: str) -> Mapping[str, object]:
    return {
        "name": evidence.name,
        "value": evidence.value,
        "unit": evidence.unit,
        "limit": evidence.limit,
        "words": evidence_words(evidence, symbol),
    }


def _recovered(finding: Finding) -> str:
    """What has to come back before a resume is whole."""
    return finding.counterfactual.removeprefix("would not stand once ") or "the market has recovered"


def rung_of_posture(posture: Posture, symbol: str) -> str:
    """How far the guard goes on a symbol, in words: the lowest rung where a posture names none.

    >>> from perpguard_sdk.messages import Mode
    >>> plain = Posture(bot="b", version=1, epoch=1, session="s", ts=0, expires_at=0, mode=Mode.PAPER)
    >>> rung_of_posture(plain, "BTC/USDT:USDT")
    'advise'
    """
    return posture.rungs.get(symbol, RUNG_NONE).replace("_", " ")


def bill_in_short(line: BillLine) -> str:
    """What a decision saved and cost, in one sentence."""
    if line.verdict is BillVerdict.UNKNOWN and not line.size:
        return f"unknown ({list_words(line.missing)})"
    if not line.size:
        return (
            "nothing taken off or kept back so far"
            if line.verdict is BillVerdict.OPEN
            else f"nothing saved and nothing paid: {ENDS[line.ended_by]}"
        )
    what = "kept back" if line.kind is BillKind.RESTRICTION else "took off"
    modelled = ", had it been obeyed" if line.modelled else ""
    missing = f"; not known and counted as nothing: {list_words(line.missing)}" if line.missing else ""
    return (
        f"{what} {size_words(abs(line.size), symbol_of(line.market))}{modelled}; saved {usd_words(line.saved_usd)}, "
        f"cost {usd_words(line.cost_usd)}, net {usd_words(line.net_usd, signed=True)} USD after "
        f"{duration_words(line.until_at - line.began_at)}: {VERDICTS[line.verdict]}{missing}"
    )
