"""Bodies with Content-Encoding: gzip are read within the limits of others; other data gets a sentence."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.contract.test_feedback import settings_for
from tests.contract.test_greedy_clients import post
from tests.harness import SAMPLE, Server, problem, raw_exchange

pytestmark = pytest.mark.heart

MOST_BYTES = 1_048_576
ROW = json.dumps(SAMPLE).encode()
BATCH = json.dumps({"instances": [SAMPLE] * 500}).encode()


def send(server: Server, body: bytes, path: str = "/predict", coding: str = "gzip") -> requests.Response:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    return server.post(path, data=body, headers=headers)


def chunked(body: bytes, size: int) -> list[bytes]:
    return [body[place : place + size] for place in range(0, len(body), size)]


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZip"])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_compressed_row_is_predicted(server: Server, coding: str, level: int) -> None:
    plain = server.post("/predict", SAMPLE).json()
    answer = send(server, gzip.compress(ROW, level), coding=coding)
    assert answer.json() | {"request_id": ""} == plain | {"request_id": ""}


def test_a_compressed_batch_is_predicted(server: Server) -> None:
    plain = server.post("/predict/batch", {"instances": [SAMPLE] * 500}).json()
    assert len(gzip.compress(BATCH)) < 4096 < len(BATCH)
    several = b"".join(gzip.compress(part) for part in chunked(BATCH, 1000))
    for body in (gzip.compress(BATCH), several, gzip.compress(b"") + gzip.compress(BATCH)):
        answer = send(server, body, "/predict/batch").json()
        assert answer["predictions"] == plain["predictions"]


def test_a_named_identity_is_no_compression(server: Server) -> None:
    assert send(server, ROW, coding="identity").json()["label"] == "no_disease"


def test_the_limit_is_that_of_the_decompressed_body(server: Server) -> None:
    padded = ROW + b" " * (MOST_BYTES - len(ROW))
    assert send(server, gzip.compress(padded)).json()["label"] == "no_disease"
    for body in (padded + b" ", b" " * (MOST_BYTES + 1), b" " * (500 * MOST_BYTES)):
        compressed = gzip.compress(body)
        assert len(compressed) < MOST_BYTES
        detail = problem(send(server, compressed), 413, "PayloadTooLarge")["detail"]
        assert f"{MOST_BYTES} bytes at most, decompressed" in detail
    halves = gzip.compress(b" " * MOST_BYTES) * 2
    problem(send(server, halves), 413, "PayloadTooLarge")


def test_broken_data_is_rejected(server: Server) -> None:
    whole = gzip.compress(ROW)
    for end in range(1, len(whole)):
        problem(send(server, whole[:end]), 400, "MalformedBody")
    wrong_sum = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
    wrong_length = whole[:-1] + b"\x01"
    followed = [whole + b"x", whole + b"\0" * 8, whole + whole[:5], whole + ROW]
    for body in (ROW, zlib.compress(ROW), wrong_sum, wrong_length, b"\x1f\x8b" + ROW, *followed):
        problem(send(server, body), 400, "MalformedBody")
    problem(send(server, b""), 400, "MalformedBody")


def test_members_are_limited(server: Server) -> None:
    empty = gzip.compress(b"")
    assert send(server, empty * 999 + gzip.compress(ROW)).status_code == 200
    detail = problem(send(server, empty * 1000 + gzip.compress(ROW)), 400, "MalformedBody")["detail"]
    assert detail == "The body has more than 1000 gzip members; compress it as one."


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "identity, gzip", "*", "gzip;q=1"])
def test_another_coding_is_told_which_there_is(server: Server, coding: str) -> None:
    answer = send(server, gzip.compress(ROW), coding=coding)
    assert "Content-Encoding: gzip" in problem(answer, 415, "UnsupportedMediaType")["detail"]
    assert answer.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("codings", [("gzip", "gzip"), ("identity", "gzip"), ("gzip", "identity")])
def test_two_headers_are_two_codings(server: Server, codings: tuple[str, str]) -> None:
    lines = [f"Content-Encoding: {coding}" for coding in codings]
    answer = raw_exchange(server.port, post(gzip.compress(ROW), "/predict", *lines))
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert b"Content-Encoding: gzip" in answer


def test_json_inside_is_checked_as_ever(server: Server) -> None:
    problem(send(server, gzip.compress(b"{")), 400, "MalformedBody")
    problem(send(server, gzip.compress(b"")), 400, "MalformedBody")
    problem(send(server, gzip.compress(b"{}")), 422, "ValidationError")


def test_outcomes_are_compressed_too(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(**settings_for(tmp_path))
    prediction = send(server, gzip.compress(ROW)).json()
    outcome = {"prediction_id": prediction["prediction_id"], "outcome": "disease"}
    body = gzip.compress(json.dumps(outcome).encode())
    assert send(server, body, "/feedback").json() == {"status": "accepted"}
