"""A Prometheus that is down, slow, or no Prometheus: the page says so in a sentence, and in time."""

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from serving.console.live.chosen import Served
from serving.console.live.page import shown_sections
from serving.console.live.prometheus import MOST_BYTES, MOST_SECONDS, PrometheusSource
from serving.console.live.readings import Live
from serving.console.targets import Target
from serving.inference.catalogue import ServedModel
from serving.settings import Settings
from tests.harness import free_port

Respond = Callable[[BaseHTTPRequestHandler], None]
EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}
PASSWORD = "MARKED-hunter2"  # noqa: S105


def answering(content: bytes, status: int = 200) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return respond


@contextmanager
def serving(respond: Respond) -> Iterator[tuple[int, Counter[str]]]:
    """Serve as if a Prometheus, and count what is asked."""
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[parse_qs(urlsplit(self.path).query)["query"][0]] += 1
            respond(self)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()
    thread.join()


def source_of(port: int, heart: ServedModel, userinfo: str = "") -> PrometheusSource:
    settings = Settings(prometheus_url=f"http://{userinfo}127.0.0.1:{port}", prometheus_labels='job="heart"')
    assert settings.prometheus
    served = Served(heart.declaration, tries_candidate=True, takes_outcomes=True)
    return PrometheusSource(settings.prometheus, served)


def target_of(model: ServedModel) -> Target:
    endpoint = cast("Any", SimpleNamespace(model=model))
    return Target(endpoint, endpoint, None)


def read(port: int, heart: ServedModel, userinfo: str = "") -> Live:
    return asyncio.run(source_of(port, heart, userinfo).read(target_of(heart), 15, None))


def said(live: Live) -> set[str]:
    return {str(reading.says) for section in live.sections for reading in section.readings}


def series(value: str, at: float = 1, **labels: str) -> bytes:
    found = {"metric": {"job": "heart", "le": "many"} | labels, "values": [[at, value]], "value": [at, value]}
    return json.dumps(EMPTY | {"data": {"resultType": "matrix", "result": [found]}}).encode()


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"", 200, "what it answers is not Prometheus' JSON"),
        (b"<html>hello</html>", 200, "what it answers is not Prometheus' JSON"),
        (b"\xff\x00", 200, "what it answers is not Prometheus' JSON"),
        (b'{"status": "success", "data": [1]}', 200, "what it answers is not Prometheus' JSON"),
        (json.dumps(EMPTY | {"status": "error"}).encode(), 200, "what it answers is not Prometheus' JSON"),
        (series("1", asked="99"), 200, "what it answers is not Prometheus' JSON"),
        (series("many"), 200, "what it answers is not Prometheus' JSON"),
        (b"down", 500, "it answered 500 Internal Server Error"),
        (b"x" * (MOST_BYTES + 1), 200, "it sends more than the 1,048,576 bytes"),
    ],
)
def test_what_is_no_answer_is_a_sentence(
    heart: ServedModel, content: bytes, status: int, sentence: str
) -> None:
    with serving(answering(content, status)) as (port, _):
        live = read(port, heart)
        assert live.problem is not None
        assert f"Prometheus at http://127.0.0.1:{port}: {sentence}" in live.problem
        assert not [reading for part in live.sections for reading in part.readings if len(reading.lines) > 1]


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_what_is_no_number_is_no_data(heart: ServedModel, value: str) -> None:
    with serving(answering(series(value, le="0.5"))) as (port, _):
        live = read(port, heart)
    assert live.problem is None
    assert not [reading for section in live.sections for reading in section.readings if reading.lines]


@pytest.mark.parametrize(
    ("value", "at"),
    [
        *((value, 1.8e9) for value in ("5e-324", "1e-310", "-1e-13", "1e299", "1.7e308", "-1.7e308")),
        *(("1", at) for at in (0, 1e12, 1e18, -1e18)),
    ],
)
def test_any_number_at_any_time_is_drawn_or_left_out(heart: ServedModel, value: str, at: float) -> None:
    with serving(answering(series(value, at, le="0.5"))) as (port, _):
        live = read(port, heart)
    drawn = shown_sections(live)
    assert [section.title for section in drawn] == [section.title for section in live.sections]


def test_nothing_answers(heart: ServedModel) -> None:
    live = read(free_port(), heart)
    assert live.problem is not None
    assert "no Prometheus answers there (Connection refused)" in live.problem


def test_who_hangs_is_given_up_and_the_loop_goes_on(heart: ServedModel) -> None:
    end = threading.Event()

    async def ticking(port: int) -> tuple[Live, int]:
        source, ticks = source_of(port, heart), 0
        reading = asyncio.create_task(source.read(target_of(heart), 15, None))
        while not reading.done():
            await asyncio.sleep(0.02)
            ticks += 1
        return await reading, ticks

    try:
        with serving(lambda _: cast("None", end.wait(60))) as (port, asked):
            live, ticks = asyncio.run(ticking(port))
            assert sum(asked.values()) <= 4
            end.set()
    finally:
        end.set()
    assert ticks > 10
    assert live.problem is not None
    assert "2 s" in live.problem


def by_query(choose: Callable[[str], Respond]) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        choose(parse_qs(urlsplit(handler.path).query)["query"][0])(handler)

    return respond


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (answering(b"", 422), "422 Unprocessable Entity"),
        (answering(b"", 503), "503 Service Unavailable"),
        (answering(b"x" * (MOST_BYTES + 1)), "it sends more than"),
    ],
)
def test_one_query_that_fails_leaves_the_others(heart: ServedModel, refusal: Respond, sentence: str) -> None:
    """Drift of very many features is more than is taken; the alerts and the traffic are there."""
    ok = answering(json.dumps(EMPTY).encode())
    with serving(by_query(lambda query: refusal if "ALERTS" in query else ok)) as (port, asked):
        live = read(port, heart)
    readings = [reading for section in live.sections for reading in section.readings]
    failed = [reading for reading in readings if "127.0.0.1" in str(reading.says)]
    assert [reading.panel.key for reading in failed] == ["active-alerts"]
    assert sentence in str(failed[0].says)
    assert live.problem is None
    assert len(asked) == len(readings)


def drifting(features: int) -> Respond:
    """Answer as if so many features had an index at each moment that is asked for."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        asked = parse_qs(urlsplit(handler.path).query)
        result = []
        if "job:feature:psi1h" in asked["query"][0] and "psi_chance" in asked["query"][0]:
            begin, end, step = (int(float(asked[name][0])) for name in ("start", "end", "step"))
            values = [[at, "0.12345678901234567"] for at in range(begin, end + 1, step)]
            labels = {"model_version": "v1", "asked": "0"}
            result = [
                {"metric": labels | {"feature": f"feature_{place:04}"}, "values": values}
                for place in range(features)
            ]
        found = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        answering(json.dumps(found).encode())(handler)

    return respond


@pytest.mark.parametrize(
    ("features", "moments", "note"),
    [
        (20, 181, None),
        (600, 13, "There are too many lines to draw each moment: one of 15 is drawn."),
        (3000, 2, "There are too many lines to draw each moment: one of 180 is drawn."),
    ],
)
def test_very_many_lines_are_drawn_at_fewer_moments(
    heart: ServedModel, features: int, moments: int, note: str | None
) -> None:
    with serving(drifting(features)) as (port, _):
        live = read(port, heart)
    readings = {reading.panel.key: reading for part in live.sections for reading in part.readings}
    drift = readings["drift-by-feature"]
    assert (len(drift.lines), drift.says, drift.note) == (features, None, note)
    assert all(len(line.points) == moments for line in drift.lines)
    assert drift.lines[0].points[0][0] == drift.begin
    assert drift.lines[-1].points[-1][0] == drift.end
    assert readings["rejected-values"].note is None


def test_queries_that_wait_for_longer_than_a_page_are_given_up(heart: ServedModel) -> None:
    """Else they pile up where Prometheus is slower than pages are read."""
    end = threading.Event()

    async def left(port: int) -> int:
        await source_of(port, heart).read(target_of(heart), 15, None)
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        _, pending = await asyncio.wait(waiting, timeout=4 * MOST_SECONDS)
        end.set()
        return len(pending)

    with serving(slow_until(end)) as (port, _):
        assert asyncio.run(left(port)) == 0


def slow_until(end: threading.Event) -> Respond:
    """Answer, each query after most of the time that it has."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        end.wait(1.5)
        answering(json.dumps(EMPTY).encode())(handler)

    return respond


def test_many_viewers_ask_each_panel_once(heart: ServedModel) -> None:
    async def look(source: PrometheusSource) -> list[Live]:
        return await asyncio.gather(*(source.read(target_of(heart), 15, None) for _ in range(20)))

    with serving(answering(json.dumps(EMPTY).encode())) as (port, asked):
        lives = asyncio.run(look(source_of(port, heart)))
    panels = [reading.panel for section in lives[0].sections for reading in section.readings]
    assert len({panel.key for panel in panels}) == len(panels)
    assert set(asked.values()) == {1}
    assert len(asked) == len(panels)
    assert all('job="heart"' in query for query in asked)


def test_no_password_is_shown(heart: ServedModel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for respond in (answering(b"", 401), answering(json.dumps(EMPTY).encode())):
        with serving(respond) as (port, _):
            live = read(port, heart, userinfo=f"user:{PASSWORD}@")
        assert PASSWORD not in f"{live.source} {live.problem} {said(live)} {caplog.text}"
    assert PASSWORD not in repr(Settings(prometheus_url=f"http://user:{PASSWORD}@127.0.0.1:1"))


def test_a_client_passes_no_query_of_its_own(heart: ServedModel) -> None:
    """A feature that the model does not have is asked for as if none were named."""
    with serving(answering(json.dumps(EMPTY).encode())) as (port, asked):
        asyncio.run(source_of(port, heart).read(target_of(heart), 15, '"} or vector(1) or up{a="'))
    assert not [query for query in asked if "vector(1)" in query]
    assert any(f'feature="{heart.declaration.feature_names[0]}"' in query for query in asked)
