"""The live page of a release whose Prometheus is known: all pods, and what its rules record.

Only the panels' own queries are asked. The answers are kept for a few seconds for all who look, and
Prometheus gets no more time and no more memory than an answer takes.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from time import monotonic, time
from typing import Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from monitoring.panels.panel import Panel
from monitoring.panels.scope import HOUR
from registry.address import shown
from registry.credentials import NOBODY
from registry.download import DownloadError, Origin, StatusError, TooLongError
from serving.console.live.chosen import Served, chosen_labels, panels_of, scope_of
from serving.console.live.readings import Live, Reading, Section
from serving.console.live.shaping import Found, shaped
from serving.console.targets import Target
from serving.setting_groups import PrometheusSettings

FRESH_SECONDS = 5
MOST_SECONDS = 2
MOST_BYTES = 1024 * 1024
AT_ONCE = 4
"""Queries that Prometheus gets together."""

STEPS = 180
"""Points of a line."""

COARSER = (1, 15, 180)
"""Every how many points of a line is asked for, one after the other, while an answer is too long."""

RATE = "2m"
"""Window of a rate: two scrapes, where they are a minute apart."""

NUMBER = "asked"
"""A label that tells which of a panel's queries a series answers: all are one query."""

OF_ONE_QUERY = {400, 422, 503}
"""What Prometheus answers to a query that it cannot or will not execute, while it answers others."""

NO_JSON = "what it answers is not Prometheus' JSON"


class PrometheusError(Exception):
    """Prometheus gave no usable answer; the sentence says why."""


class Answered(BaseModel):
    """A series of an answer: a point, or several."""

    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class Data(BaseModel):
    """What a query found."""

    result: list[Answered]


class Answer(BaseModel):
    """What Prometheus' HTTP API answers."""

    status: Literal["success"]
    data: Data


@dataclass(frozen=True)
class Asked:
    """A panel's query, and when it is over; a panel that shows one moment has no step."""

    promql: str
    begin: float
    end: float
    step: int | None


@dataclass(frozen=True)
class Taken:
    """The series that a query finds, at every moment, or at every so many where these are too many."""

    found: list[Found]
    every: int = 1

    @property
    def note(self) -> str | None:
        if self.every == 1:
            return None
        return f"There are too many lines to draw each moment: one of {self.every} is drawn."


class PrometheusSource:
    """Answers the page from a Prometheus. `read` takes as long as MOST_SECONDS, whatever that does."""

    def __init__(self, settings: PrometheusSettings, served: Served) -> None:
        self._address = settings.address
        self._shown = shown(settings.address)
        self._headers = NOBODY.headers(settings.address)
        self._matchers = settings.matchers
        self._served = served
        self._answers: dict[tuple[str, int], tuple[float, Asked, asyncio.Task[Taken]]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._failed: tuple[float, str] | None = None
        self._late = f"Prometheus at {self._shown} does not answer within {MOST_SECONDS} s."

    async def read(self, target: Target, minutes: int, feature: str | None) -> Live:
        """Return what Prometheus knows of the last minutes."""
        rate = RATE if minutes * 60 // STEPS < 60 else f"{2 * minutes * 60 // STEPS}s"  # noqa: PLR2004
        scope = scope_of(chosen_labels(target, feature), self._matchers, rate, minutes, HOUR)
        sections = list(panels_of(self._served, target.declaration, scope))
        panels = [panel for _, panels in sections for panel in panels]
        answers = {panel.key: self._answer(panel, minutes) for panel in panels}
        await asyncio.wait([task for _, task in answers.values()], timeout=MOST_SECONDS)
        read = {panel.key: self._reading(panel, *answers[panel.key]) for panel in panels}
        problems = [said for reading in read.values() if (said := reading.says) and self._shown in said]
        problem = problems[0] if len(problems) == len(read) else None
        whose = ", ".join(self._matchers) or "all that it scrapes"
        return Live(
            f"Prometheus, all pods ({whose})",
            problem,
            tuple(Section(title, tuple(read[panel.key] for panel in panels)) for title, panels in sections),
        )

    def _answer(self, panel: Panel, minutes: int) -> tuple[Asked, asyncio.Task[Taken]]:
        """Return the answer that is kept, or that is being asked for."""
        now = monotonic()
        self._answers = {key: entry for key, entry in self._answers.items() if now - entry[0] < FRESH_SECONDS}
        promql = together(panel)
        key = (promql, minutes)
        if key not in self._answers:
            asked = asked_of(panel, promql, minutes)
            task = asyncio.create_task(self._ask(asked))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._answers[key] = (now, asked, task)
        return self._answers[key][1:]

    async def _ask(self, asked: Asked) -> Taken:
        """Return the series that Prometheus finds; PrometheusError where it does not answer."""
        try:
            async with asyncio.timeout(MOST_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise PrometheusError(self._late) from None
        try:
            return await self._answered(asked)
        finally:
            self._turns.release()

    async def _answered(self, asked: Asked) -> Taken:
        """Return what one query finds; where all would fail, the next ones fail at once for a while."""
        if self._failed and monotonic() - self._failed[0] < MOST_SECONDS:
            raise PrometheusError(self._failed[1])
        try:
            return await asyncio.to_thread(self._taken, asked)
        except DownloadError as error:
            says = f"Prometheus at {self._shown}: {error}."
            if not of_one_query(error):
                self._failed = (monotonic(), says)
            raise PrometheusError(says) from None

    def _taken(self, asked: Asked) -> Taken:
        """Return what a query finds at as many moments as an answer has room for."""
        for every in COARSER[:-1] if asked.step else ():
            try:
                return Taken(self._exchange(asked, every), every)
            except TooLongError:
                continue
        every = COARSER[-1] if asked.step else 1
        return Taken(self._exchange(asked, every), every)

    def _exchange(self, asked: Asked, every: int) -> list[Found]:
        parameters = {"query": asked.promql, "timeout": f"{MOST_SECONDS}s"}
        if asked.step:
            endpoint = "query_range"
            parameters |= {
                "start": f"{asked.begin:.3f}",
                "end": f"{asked.end:.3f}",
                "step": str(asked.step * every),
            }
        else:
            endpoint = "query"
            parameters |= {"time": f"{asked.end:.3f}"}
        content = BytesIO()
        origin = Origin(self._address, self._headers, "Prometheus", MOST_SECONDS)
        origin.get(f"/api/v1/{endpoint}?{urlencode(parameters)}", MOST_BYTES, content)
        try:
            answer = Answer.model_validate(from_json(content.getvalue()))
            return list(found(answer.data.result))
        except (ValidationError, ValueError):
            raise DownloadError(NO_JSON) from None

    def _reading(self, panel: Panel, asked: Asked, task: asyncio.Task[Taken]) -> Reading:
        says = self._late
        if task.done():
            try:
                taken = task.result()
                return replace(shaped(panel, asked.begin, asked.end, taken.found), note=taken.note)
            except PrometheusError as error:
                says = str(error)
            except (ValueError, IndexError):  # labels that the query does not make
                says = f"Prometheus at {self._shown}: {NO_JSON}."
        return Reading(panel, asked.begin, asked.end, says=says)


def of_one_query(error: DownloadError) -> bool:
    """Return whether Prometheus failed at this query alone, as far as one can tell."""
    if isinstance(error, StatusError):
        return error.status in OF_ONE_QUERY
    return isinstance(error, TooLongError)


def together(panel: Panel) -> str:
    """Return one query for all of a panel's, whose answers tell which they are of."""
    if len(panel.asked) == 1:
        return str(panel.queries[0].expression)
    return " or ".join(
        f'label_replace({query.expression}, "{NUMBER}", "{number}", "", "")'
        for number, query in enumerate(panel.asked)
    )


def asked_of(panel: Panel, promql: str, minutes: int) -> Asked:
    """Return the query of a panel over the last minutes, up to a whole step."""
    step = minutes * 60 // STEPS
    end = math.floor(time() / step) * step if panel.over_time else time()
    return Asked(promql, end - minutes * 60, end, step if panel.over_time else None)


def found(result: Sequence[Answered]) -> Iterator[Found]:
    for series in result:
        labels: Mapping[str, str] = {name: value for name, value in series.metric.items() if name != NUMBER}
        number = int(series.metric.get(NUMBER, "0"))
        points = series.values or ([series.value] if series.value else [])
        yield Found(number, labels, [(at, float(value)) for at, value in points])
