"""How often alerts on quality are wrong in years of honest outcomes, and how soon they find a decline.

`python -m bench honesty` writes the tables between the marks in docs/feedback.md.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from bench.load import PROJECT
from bench.quality_rules import (
    OTHERS,
    SHIPPED,
    Flags,
    Rule,
    before,
    below_card,
    declined,
    unguarded,
)
from bench.quality_streams import (
    DAYS,
    RATES,
    STREAMS,
    WINDOW,
    Floats,
    History,
    Stream,
    draw,
    heart,
)
from bench.tables import with_tables
from serving.feedback.outcomes import EARLIER_WINDOWS

PAGE = PROJECT / "docs" / "feedback.md"

DECADES = 100
YEARS = 10
REPEATS = 40
AFTER_DECLINE = 2 * DAYS
SENSITIVITY = 0.79

OTHERS_SENTENCE = """\
Other rules on the same streams, in false alarms in ten years, and in outcomes until the loss of a tenth of
the sensitivity is found (card from 7,043 rows, 500 a day). What ships is bold:"""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Honesty:
    """What a rule does in ten years: years with an alarm, alarms, and the share of time; means."""

    years: float
    alarms: float
    time: float

    @classmethod
    def of(cls, flags: Iterable[Flags]) -> "Honesty":
        found = [(by_year(flag).mean(), episodes(flag), flag.mean()) for flag in flags]
        return cls(*np.mean(found, axis=0).tolist())


def by_year(flags: Flags) -> Flags:
    return np.asarray(flags.reshape(YEARS, -1).any(axis=1))


def episodes(flags: Flags) -> int:
    """Return how often the alert begins."""
    return int((flags & ~np.concatenate([[False], flags[:-1]])).sum())


def decade(stream: Stream, rate: int, seed: int) -> History:
    random = np.random.default_rng([seed, rate])
    return draw(random, stream, (rate, RATES[rate]), ((heart(), YEARS * DAYS),))


def judged(stream: Stream, rate: int, rules: dict[str, Rule], decades: int) -> dict[str, Honesty]:
    """Return how honest each rule is on a stream."""
    flags: dict[str, list[Flags]] = {name: [] for name in rules}
    for seed in range(decades):
        history = decade(stream, rate, seed)
        for name, rule in rules.items():
            flags[name].append(rule(history))
    return {name: Honesty.of(found) for name, found in flags.items()}


@dataclass(frozen=True)
class Decline:
    """A loss of this part of the sensitivity, and what the server knows and counts meanwhile."""

    part: float
    card_rows: int
    rate: int
    window: int = WINDOW


def found_after(rules: dict[str, Rule], decline: Decline, declines: int) -> dict[str, Floats]:
    """Return after how many outcomes each rule finds it; infinite where it does not in two years."""
    looks = max(RATES[decline.rate], decline.rate // 100)
    before_days = (1 + EARLIER_WINDOWS) * decline.window
    worse = heart().with_lower_sensitivity(decline.part)
    parts = ((heart(), before_days), (worse, AFTER_DECLINE))
    found: dict[str, list[float]] = {name: [] for name in rules}
    for seed in range(declines):
        random = np.random.default_rng([seed, decline.rate, decline.card_rows])
        stream = Stream("declining", decline.card_rows)
        history = draw(random, stream, (decline.rate, looks), parts, decline.window)
        for name, rule in rules.items():
            flags = rule(history)[before_days * looks :]
            found[name].append((int(np.argmax(flags)) + 1) / looks * decline.rate if flags.any() else np.inf)
    return {name: np.array(numbers) for name, numbers in found.items()}


DECLINES = (
    *(Decline(0.1, card_rows, rate) for card_rows in (303, 7043) for rate in RATES),
    Decline(0.1, 303, 2000, 7),
    Decline(0.1, 303, 50, 90),
    Decline(0.1, 303, 5, 365),
    Decline(0.25, 303, 50),
    Decline(0.5, 303, 5),
)


def table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(row) + " |"


def honest_rows(say: Say, decades: int) -> Iterator[list[str]]:
    for stream in STREAMS:
        for rate in RATES:
            say(f"{stream.name}, {rate} a day")
            shipped = judged(stream, rate, {"before": before, "unguarded": unguarded} | SHIPPED, decades)
            old = shipped["before"]
            yield [
                stream.name,
                f"{rate:,}",
                f"{old.years:.0%} of years, {old.time:.0%} of the time",
                f"{shipped['unguarded'].alarms:.2f}",
                *(
                    f"{shipped[name].alarms:.2f}"
                    for name in ("ModelQualityBelowCard", "ModelQualityDeclined")
                ),
                selective_text(shipped["ModelOutcomesSelective"]),
            ]


def selective_text(honesty: Honesty) -> str:
    return f"{honesty.time:.0%} of the time" if honesty.time > 0.5 else f"{honesty.alarms:.2f}"


def either(history: History) -> Flags:
    return below_card(history) | declined(history)


def decline_rows(say: Say, declines: int) -> Iterator[list[str]]:
    rules: dict[str, Rule] = {"card": below_card, "declined": declined, "either": either}
    for decline in DECLINES:
        say(f"{decline}")
        found = found_after(rules, decline, declines)
        lost = f"{SENSITIVITY:.2f} to {SENSITIVITY * (1 - decline.part):.2f}"
        setting = [lost, f"{decline.card_rows:,}", f"{decline.rate:,}", str(decline.window)]
        yield [*setting, *map(outcomes_text, found.values())]


def outcomes_text(found: Floats) -> str:
    """Return in how many outcomes half and nine tenths are found."""
    share = np.isfinite(found).mean()
    half, most = (np.quantile(found, part, method="higher") for part in (0.5, 0.9))
    if share == 0:
        return "never"
    if np.isinf(half):
        return f"{share:.0%} found"
    return f"{half:,.0f}" + (f" ({most:,.0f})" if np.isfinite(most) else f" ({share:.0%} found)")


def other_rows(say: Say, decades: int, declines: int) -> Iterator[list[str]]:
    truth, sampled = STREAMS[:2]
    honest = {}
    for stream, rate in ((truth, 50), (truth, 500), (sampled, 50), (sampled, 2000)):
        say(f"alternatives: {stream.name}, {rate} a day")
        honest[stream.name, rate] = judged(stream, rate, OTHERS, decades)
    say("alternatives: decline")
    found = found_after(OTHERS, Decline(0.1, 7043, 500), declines)
    for name in OTHERS:
        yield [
            name,
            *(f"{judgement[name].alarms:.2f}" for judgement in honest.values()),
            outcomes_text(found[name]),
        ]


def written(say: Say, decades: int = DECADES, declines: int = REPEATS) -> str:
    """Return the tables as Markdown."""
    honest = table(
        [
            "stream",
            "outcomes a day",
            "before: alarm",
            "without the guard",
            "`ModelQualityBelowCard`",
            "`ModelQualityDeclined`",
            "`ModelOutcomesSelective`",
        ],
        honest_rows(say, decades),
    )
    declining = table(
        [
            "sensitivity",
            "rows of the card",
            "a day",
            "window",
            "`ModelQualityBelowCard`",
            "`ModelQualityDeclined`",
            "either",
        ],
        decline_rows(say, declines),
    )
    others = table(
        [
            "rule",
            "card is the truth, 50 a day",
            "500 a day",
            "card from 303 rows, 50 a day",
            "2,000 a day",
            "decline found",
        ],
        other_rows(say, decades, declines),
    )
    years = f"seeds 0 to {decades - 1}, {decades * YEARS:,} simulated years for each line"
    found = f"median of {declines} (seeds 0 to {declines - 1}); in brackets in how many nine of ten are found"
    sections = {
        f"False alarms in ten years, mean of {decades} times ten years ({years}):": honest,
        f"Outcomes until a planted decline is found, {found}, or the share within two years:": declining,
        OTHERS_SENTENCE: others,
    }
    return "\n\n".join(f"{sentence}\n\n" + "\n".join(lines) for sentence, lines in sections.items())


def run(say: Say) -> None:
    """Write the tables into the page."""
    text = written(say)
    page = with_tables(PAGE.read_text(encoding="utf-8"), {"quality honesty": ["", text, ""]})
    PAGE.write_text(page, encoding="utf-8")
    print(text)
