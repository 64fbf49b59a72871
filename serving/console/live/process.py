"""The live page of a process that asks no Prometheus: what it has counted itself."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
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


class ProcessSource:
    """Keeps what panels read with each `tick`; pages are made of it in another thread, at most every 5 s."""

    def __init__(
        self,
        collect: Callable[[], Iterable[Sampled]],
        served: Served,
        declarations: Iterable[Declaration],
        clock: Callable[[], float] = time,
    ) -> None:
        self._served = served
        self.history = History(collect, read_names(served, declarations), clock)
        self._made: dict[tuple[object, ...], tuple[float, asyncio.Task[Live]]] = {}

    async def run(self) -> None:
        """Keep a moment every few seconds."""
        while True:
            self.history.tick()
            await asyncio.sleep(SECONDS)

    async def read(self, target: Target, minutes: int, feature: str | None) -> Live:  # noqa: ARG002
        """Return what was kept, however many minutes are asked for."""
        labels = chosen_labels(target, feature)
        key, now = tuple(labels.items()), monotonic()
        self._made = {made: entry for made, entry in self._made.items() if now - entry[0] < SECONDS}
        if key not in self._made:
            scope = scope_of(labels, (), RATE, MINUTES, WHOLE)
            past = self.history.past()
            work = asyncio.to_thread(self._live, target.declaration, scope, past)
            self._made[key] = (now, asyncio.create_task(work))
        return await asyncio.shield(self._made[key][1])

    def _live(self, declaration: Declaration, scope: Scope, past: Past) -> Live:
        past = replace(past, recorded=record(past))
        since = clock(self.history.since, seconds=True)
        sections = tuple(
            Section(title, tuple(reading(panel, past) for panel in panels))
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
