"""The live page of a process that asks no Prometheus: what it has counted itself."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from functools import cached_property
from time import monotonic, time

from bundle.declaration import Declaration
from monitoring.panels.expressions import Expression, Selector
from monitoring.panels.panel import Panel
from monitoring.panels.scope import Scope, Window
from serving.console.live.axes import clock
from serving.console.live.chosen import Served, chosen_labels, panels_of, scope_of
from serving.console.live.drift import BASES, OF_ENOUGH, TOO_FEW, record
from serving.console.live.history import KEPT_SECONDS, SECONDS, History, Past, Sampled
from serving.console.live.readings import Live, Reading, Section
from serving.console.live.shaping import Found, shaped
from serving.console.live.values import UnansweredError, evaluate
from serving.console.targets import Target

MINUTES = KEPT_SECONDS // 60
RATE = "1m"
WHOLE = Window(f"{MINUTES}m", f"{MINUTES} minutes")
SOON = "The first values come a few seconds after the start."


class Known:
    """What is known at a moment, and the panels that were made of it: most are the same for all who look."""

    def __init__(self, past: Past) -> None:
        self._kept = past
        self._readings: dict[tuple[object, ...], Reading] = {}
        self.made = monotonic()

    @cached_property
    def _past(self) -> Past:
        return replace(self._kept, recorded=record(self._kept))

    def reading(self, panel: Panel) -> Reading:
        """Return a panel's values, made once."""
        key = (panel.key, *((str(query.expression), query.legend) for query in panel.asked))
        if key not in self._readings:
            self._readings[key] = reading(panel, self._past)
        return self._readings[key]


class ProcessSource:
    """Keeps what panels read with each `tick`; pages are made of it in another thread, one after the other.

    A panel is made every 5 s at most, so that neither many viewers nor many features take more memory.
    """

    def __init__(
        self,
        collect: Callable[[], Iterable[Sampled]],
        served: Served,
        declarations: Iterable[Declaration],
        clock: Callable[[], float] = time,
    ) -> None:
        self._served = served
        self.history = History(collect, read_names(served, declarations), clock)
        self._known: Known | None = None
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Keep a moment every few seconds."""
        while True:
            self.history.tick()
            await asyncio.sleep(SECONDS)

    async def read(self, target: Target, minutes: int, feature: str | None) -> Live:  # noqa: ARG002
        """Return what was kept, however many minutes are asked for."""
        scope = scope_of(chosen_labels(target, feature), (), RATE, MINUTES, WHOLE)
        async with self._turn:
            if self._known is None or monotonic() - self._known.made >= SECONDS:
                self._known = Known(self.history.past())
            return await asyncio.to_thread(self._live, target.declaration, scope, self._known)

    def _live(self, declaration: Declaration, scope: Scope, known: Known) -> Live:
        since = clock(self.history.since, seconds=True)
        sections = tuple(
            Section(title, tuple(known.reading(panel) for panel in panels))
            for title, panels in panels_of(self._served, declaration, scope)
        )
        source = f"this process, since {since} UTC ({MINUTES} minutes at most)"
        return Live(source, None, sections, MINUTES)


def reading(panel: Panel, past: Past) -> Reading:
    """Return a panel's values at all moments, or at the last where it shows one."""
    if len(past.times) < 2:  # noqa: PLR2004  # what grew needs two
        now = float(past.times[-1]) if len(past.times) else time()
        return Reading(panel, now - KEPT_SECONDS, now, says=SOON)
    begin, end = float(past.times[-1]) - KEPT_SECONDS, float(past.times[-1])
    found: list[Found] = []
    unanswered = ""
    for number, query in enumerate(panel.asked):
        try:
            found += answers(number, query.expression, past, latest=not panel.over_time)
        except UnansweredError as error:
            unanswered = str(error)
    made = shaped(panel, begin, end, found)
    if made.lines or made.bars or made.alerts:
        return made
    too_few = names_of(panel) & OF_ENOUGH & past.recorded.keys()
    return replace(made, says=TOO_FEW if too_few else unanswered or made.says)


def answers(number: int, expression: Expression, past: Past, *, latest: bool) -> Iterator[Found]:
    for labels, values in evaluate(expression, past).items():
        times, shown = (past.times[-1:], values[-1:]) if latest else (past.times, values)
        points = [(float(at), float(value)) for at, value in zip(times, shown, strict=True)]
        yield Found(number, dict(labels), points)


def read_names(served: Served, declarations: Iterable[Declaration]) -> list[str]:
    """Return the names of the series that panels read, those of the first sections first."""
    scope = scope_of({"model": "", "version": "", "feature": ""}, (), RATE, MINUTES, WHOLE)
    names = [
        selector.name
        for declaration in declarations
        for _, panels in panels_of(served, declaration, scope)
        for panel in panels
        for query in panel.asked
        for selector in selectors(query.expression)
        if not selector.recorded
    ]
    return [name for name in names if name not in BASES] + list(BASES)


def names_of(panel: Panel) -> set[str]:
    return {selector.name for query in panel.queries for selector in selectors(query.expression)}


def selectors(expression: Expression) -> Iterator[Selector]:
    if isinstance(expression, Selector):
        yield expression
    for field in fields(expression):
        value = getattr(expression, field.name)
        if isinstance(value, Expression):
            yield from selectors(value)
