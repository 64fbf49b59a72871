"""An MLflow server that misbehaves is reported in a sentence; it hangs nothing and fills no memory."""

import json
from argparse import ArgumentTypeError
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from bundle.errors import BundleError, printable
from bundle.manifest import sealed
from registry.fetch import fetch
from registry.mlflow import FETCH_BYTES, MlflowServer
from registry.reference import RegisteredVersion
from tests.harness import HEART
from tests.mlflow import Answer, RawServer, answered, registry
from training.cli import rows_file

IRIS = HEART.parent / "iris"
IRIS_1 = RegisteredVersion("iris", "1")
VERSION_URI = "name=iris&version=1"
LISTING = "?path=0/run/bundle"
MODEL = "/v1/model.onnx"
MANIFEST = json.loads((IRIS / "v1" / "bundle.json").read_bytes())
SECRET = "MARKED-hunter2"  # noqa: S105

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def fetched(folder: Path, **changed: Answer) -> RawServer:
    """Fetch iris from a server that answers like MLflow, except on some paths; return the server."""
    with RawServer(registry(IRIS, "v1", changed)) as server:
        assert fetch(MlflowServer(server.url), IRIS_1, folder / "iris") == "v1"
    return server


def refusal(folder: Path, path: str, answer: Answer) -> str:
    with pytest.raises(BundleError) as raised:
        fetched(folder, **{path: answer})
    said = str(raised.value)
    assert printable(said) == said
    return said


def test_only_files_that_the_bundle_names_are_fetched(tmp_path: Path) -> None:
    files = [{"path": name} for name in ("model.toml", "v1", "v1/secrets", "core", "../x", "CARD.md")]
    server = fetched(tmp_path, **{LISTING: answered({"files": files}), "/v1": answered({"files": files})})
    there = {str(path.relative_to(tmp_path / "iris")) for path in (tmp_path / "iris").rglob("*.*")}
    assert there == {"model.toml", "v1/bundle.json", *(f"v1/{name}" for name in MANIFEST["files"])}
    for name in there:
        assert (tmp_path / "iris" / name).read_bytes() == (IRIS / name).read_bytes()
    assert len(server.requests) == 2 + len(there)


def test_a_bundle_has_a_bounded_number_of_files(tmp_path: Path) -> None:
    many = MANIFEST | {"files": MANIFEST["files"] | {f"f{number}": "0" * 64 for number in range(65)}}
    said = refusal(tmp_path, "/bundle.json", answered(sealed(many)))
    assert said == "models:/iris/1 is not a bundle: its bundle.json names more than 64 files"


NO_SERVER = "what answers there is no MLflow server"


@pytest.mark.parametrize(
    ("path", "answer", "sentence"),
    [
        (VERSION_URI, answered(b""), NO_SERVER),
        (VERSION_URI, answered(b"[" * 100_000), NO_SERVER),
        (VERSION_URI, answered(b'{"a":' * 100_000), NO_SERVER),
        (VERSION_URI, answered(b'{"artifact_uri": ' + b"9" * 5000 + b"}"), NO_SERVER),
        (VERSION_URI, answered(b"\xff\xfe\x00"), NO_SERVER),
        (VERSION_URI, answered(b"null"), NO_SERVER),
        (VERSION_URI, answered({}), NO_SERVER),
        (VERSION_URI, answered({"artifact_uri": 5}), NO_SERVER),
        (VERSION_URI, answered({"artifact_uri": None}), NO_SERVER),
        (VERSION_URI, answered({"artifact_uri": ["mlflow-artifacts:/x"]}), NO_SERVER),
        (VERSION_URI, answered({"artifact_uri": "\x1b[31m://x"}), "not with the server"),
        (VERSION_URI, answered({"artifact_uri": "s3://bucket/x"}), "has its artifacts at 's3:', not with"),
        (VERSION_URI, answered({"artifact_uri": "mlflow-artifacts://[x"}), "cannot be asked for"),
        (VERSION_URI, answered({"artifact_uri": "mlflow-artifacts:/a/../../b"}), "cannot be asked for"),
        (VERSION_URI, answered({"artifact_uri": "mlflow-artifacts:/\ud800"}), "cannot be asked for"),
        (LISTING, answered({"files": None}), NO_SERVER),
        (LISTING, answered({"files": {"path": "v1"}}), NO_SERVER),
        (LISTING, answered({"files": ["v1", "model.toml"]}), "is not a bundle"),
        (LISTING, answered({"files": [{"path": None}]}), NO_SERVER),
        (LISTING, answered({"files": [{"path": 10**400}]}), NO_SERVER),
        (LISTING, answered({"files": [{"path": "v1"}, {"path": "v2"}]}), "is not a bundle"),
        ("/model.toml", answered(b"\x1b[31m = ["), "model.toml"),
        ("/bundle.json", answered(MANIFEST | {"\x1b[31m": 1}), "bundle.json is not a valid bundle manifest"),
        ("/bundle.json", answered(MANIFEST | {"files": {"../x": "0" * 64}}), "bundle.json is not a valid"),
        ("/bundle.json", answered(b"[" * 100_000), "bundle.json is not JSON"),
    ],
)
def test_a_servers_answers_are_not_trusted(tmp_path: Path, path: str, answer: Answer, sentence: str) -> None:
    assert sentence in refusal(tmp_path, path, answer)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "closes the connection without an answer"),
        (b"\x1b[31mhello\r\n\r\n", "is not HTTP (BadStatusLine)"),
        (b"HTTP/1.1 9999999999 OK\r\n\r\n", "is not HTTP (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", "is not HTTP (HTTPException)"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "is not HTTP (LineTooLong)"),
        (answered(b"half", length=100), "cut off"),
        (CHUNKED + b"5\r\nab", "cut off"),
        (CHUNKED + b"zz\r\nab\r\n", "cut off"),
        (CHUNKED + b"-5\r\nab\r\n0\r\n\r\n", "cut off"),
        (
            answered(b"", "500 \x1b[31mMARKED\x07"),
            "answered 500 Internal Server Error; is it an MLflow server?",
        ),
        (answered(b"\x1b[31mMARKED", "599 MARKED"), "answered 599; is it an MLflow server?"),
        (answered(b"", "204 MARKED"), "answered 204 No Content"),
        (answered(b"half", "404 MARKED", length=100), "cut off"),
        (
            answered({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "\x1b"}, "404 x"),
            "has no models:/iris/1",
        ),
        (
            answered(b"", "401 MARKED"),
            "give it a user that may read, MLFLOW_TRACKING_URI=http://USER:PASSWORD@",
        ),
        (answered(b"", "403 MARKED"), "answered 403 Forbidden: give it a user"),
    ],
)
@pytest.mark.parametrize("path", [VERSION_URI, MODEL])
def test_no_text_from_the_server_is_echoed(tmp_path: Path, path: str, answer: bytes, sentence: str) -> None:
    said = refusal(tmp_path, path, answer)
    assert sentence in said
    assert "MARKED" not in said


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1500000000\r\n\r\n", b"x" * 65_536),
        (CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
        (CHUNKED + b"-1\r\n", b"x" * 65_536),
        (CHUNKED + b"ffffffffff\r\n", b"x" * 65_536),
        (TO_THE_END, b"x" * 65_536),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"x" * 65_536),
    ],
)
@pytest.mark.parametrize("path", [LISTING, "/bundle.json"])
def test_an_endless_document_is_aborted(tmp_path: Path, path: str, head: bytes, piece: bytes) -> None:
    def endless() -> Iterator[bytes]:
        yield head
        yield from repeat(piece)

    said = refusal(tmp_path, path, endless())
    assert "it sends more than the 4,194,304 bytes that are taken" in said or "1,048,576 bytes" in said


def test_all_files_of_a_bundle_are_bounded_together(tmp_path: Path) -> None:
    whole = sum((IRIS / "v1" / name).stat().st_size for name in MANIFEST["files"])
    documents = sum((IRIS / name).stat().st_size for name in ("model.toml", "v1/bundle.json"))
    with RawServer(registry(IRIS, "v1", {})) as server:
        fetch(
            MlflowServer(server.url, most_bytes=whole + documents),
            IRIS_1,
            tmp_path / "a" / "iris",
        )
        less = MlflowServer(server.url, most_bytes=whole + documents - 1)
        with pytest.raises(BundleError, match="it sends more than the"):
            fetch(less, IRIS_1, tmp_path / "b" / "iris")
    assert FETCH_BYTES == 512 * 1024 * 1024, "docs/settings.md says so"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\nX: ", CHUNKED, TO_THE_END])
def test_an_endless_trickle_of_bytes_is_aborted(tmp_path: Path, head: bytes) -> None:
    def dripping(_: str) -> Iterator[bytes]:
        yield head
        yield from server.byte_by_byte()

    with RawServer(dripping) as server, pytest.raises(BundleError) as raised:
        fetch(MlflowServer(server.url, seconds=0.3), IRIS_1, tmp_path / "iris")
    assert str(raised.value).endswith("the whole took longer than 0.3 s, and was given up")


# ---- rows of a run ----

RUN = "0123456789abcdef" * 2
ROWS = f"runs:/{RUN}/tables/rows.csv"


def rows(monkeypatch: pytest.MonkeyPatch, run: Answer, artifact: Answer = b"") -> Path:
    """Fetch rows from a server that gives these answers for the run and the artifact."""
    with RawServer(lambda path: run if "/runs/get?" in path else artifact) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@{server.host}")
        return rows_file(ROWS)


def run_at(uri: object) -> bytes:
    return answered({"run": {"info": {"artifact_uri": uri}}})


def test_rows_of_a_run_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows(monkeypatch, run_at("mlflow-artifacts:/0/r"), answered(b"a,b\n")).read_bytes() == b"a,b\n"


@pytest.mark.parametrize(
    ("run", "artifact", "sentence"),
    [
        (answered({"run": None}), b"", NO_SERVER),
        (answered({"run": []}), b"", NO_SERVER),
        (answered({"run": {"info": None}}), b"", NO_SERVER),
        (run_at(5), b"", NO_SERVER),
        (answered(b"[" * 100_000), b"", NO_SERVER),
        (run_at("\x1b:x"), b"", "not with the server"),
        (run_at("mlflow-artifacts:/x"), answered(b"", "404 \x1b[31m"), "answered 404 Not Found"),
        (run_at("mlflow-artifacts:/x"), answered(b"a,b", length=100), "cut off"),
        (
            run_at("mlflow-artifacts:/x"),
            answered(b"a", length=600_000_000),
            "more than the 536,870,912 bytes",
        ),
        (answered(b"", "302 Found", "Location: file:///etc/passwd"), b"", "which is not followed"),
    ],
)
def test_unavailable_rows_are_reported(
    monkeypatch: pytest.MonkeyPatch, run: bytes, artifact: bytes, sentence: str
) -> None:
    with pytest.raises(ArgumentTypeError) as raised:
        rows(monkeypatch, run, artifact)
    said = str(raised.value)
    assert sentence in said
    assert said.isprintable()
    assert SECRET not in said


@pytest.mark.parametrize("path", ["..", "a/..", "a/", "/a", "a//b", ""])
def test_a_path_of_a_run_names_a_file(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(ArgumentTypeError, match="is no artifact of a run"):
        rows_file(f"runs:/{RUN}/{path}")


# ---- redirects ----


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/x", "http://127.0.0.1:1/x", "https://127.0.0.1:{port}/x",
        "//127.0.0.2:{port}/",
        "ftp://127.0.0.1:{port}/x", "file:///etc/passwd", "data:,x", "http://user:MARKED@127.0.0.1:1/",
    ],
)  # fmt: skip
def test_a_redirect_elsewhere_is_not_followed(tmp_path: Path, location: str) -> None:
    def answer(_: str) -> bytes:
        return answered(b"", "302 Found", f"Location: {location.format(port=server.host.rpartition(':')[2])}")

    uri = "http://user:{}@{}"
    with RawServer(answer) as server, pytest.raises(BundleError) as raised:
        fetch(MlflowServer(uri.format(SECRET, server.host)), IRIS_1, tmp_path / "iris")
    assert "which is not followed: name the address that answers" in str(raised.value)
    assert "MARKED" not in str(raised.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "location"),
    [(301, "/moved"), (302, "http://{host}/moved"), (307, "http://other:pw@{host}/moved#x"), (308, "/moved")],
)
def test_a_redirect_within_the_server_is_followed(tmp_path: Path, status: int, location: str) -> None:
    def answer(path: str) -> Answer:
        if path.endswith(VERSION_URI):
            return answered(b"x" * 100, f"{status} x", f"Location: {location.format(host=server.host)}")
        if path == "/moved":
            return answered({"artifact_uri": "mlflow-artifacts:/0/run/bundle"})
        return bundle(path)

    bundle = registry(IRIS, "v1", {})
    with RawServer(answer) as server:
        uri = f"http://user:{SECRET}@{server.host}"
        assert fetch(MlflowServer(uri), IRIS_1, tmp_path / "iris") == "v1"
    sent = {line for request in server.requests for line in request.split("\r\n") if "uthorization" in line}
    assert len(sent) == 1


def test_redirects_are_limited(tmp_path: Path) -> None:
    said = refusal(tmp_path, VERSION_URI, answered(b"", "302 Found", f"Location: ?{VERSION_URI}"))
    assert said.endswith("it redirects again and again")
    for location in ("Location: http://[x", "X: y", "Location: /\x01 x", "Location: http://a:b/"):
        refusal(tmp_path, VERSION_URI, answered(b"", "302 Found", location))


# ---- credentials and proxies ----


@pytest.mark.parametrize(
    ("userinfo", "header"),
    [
        ("user:pw@", "dXNlcjpwdw=="),  # user:pw
        ("user:p%40w%2F%23%25@", "dXNlcjpwQHcvIyU="),  # user:p@w/#%
        ("user@", "dXNlcjo="),  # user:
        ("us%C3%A9r:p:w@", "dXPDqXI6cDp3"),  # usér:p:w
        ("user:100%@", "dXNlcjoxMDAl"),  # user:100%
    ],
)
def test_credentials_in_the_address_are_sent(tmp_path: Path, userinfo: str, header: str) -> None:
    with RawServer(registry(IRIS, "v1", {})) as server:
        mlflow = MlflowServer(f"http://{userinfo}{server.host}/")
        fetch(mlflow, IRIS_1, tmp_path / "iris")
    assert mlflow.shown == server.url
    assert all(f"Authorization: Basic {header}\r\n" in request for request in server.requests)


@pytest.mark.parametrize(
    "uri",
    [
        f"http://user:{SECRET}@x@127.0.0.1:1", f"http://user:12/{SECRET}@127.0.0.1:1", f"http://u:1#{SECRET}@h",
        f"http://u:1?{SECRET}@h", f"http://u:{SECRET}", f"http://user:{SECRET} @h", f"http//u:{SECRET}@h",
        f"http://[{SECRET}", f"http://u:{SECRET}@", f"ftp://u:{SECRET}@h", f"http://h?token={SECRET}", SECRET,
        f"http://h#{SECRET}", f"http://u:\n{SECRET}@h", f"http://u:{SECRET}@h:port", f"http://u:{SECRET}@h:99999",
        f"http://u:{SECRET}@h\u2100x", "http://", "", "://", f"postgresql://u:{SECRET}@h/db",
    ],
)  # fmt: skip
def test_an_invalid_address_is_reported_without_repeating_it(uri: str) -> None:
    with pytest.raises(BundleError, match="MLFLOW_TRACKING_URI: ") as raised:
        MlflowServer(uri)
    assert SECRET not in str(raised.value)


def test_a_proxy_from_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = registry(IRIS, "v1", {})
    with RawServer(lambda url: bundle(url.removeprefix("http://mlflow.invalid"))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://p:{SECRET}@{proxy.host}")
        assert fetch(MlflowServer("http://mlflow.invalid"), IRIS_1, tmp_path / "iris") == "v1"
    assert all("proxy-authorization: basic " in request.lower() for request in proxy.requests)


@pytest.mark.parametrize(
    "proxy",
    [
        f"socks5://u:{SECRET}@h:1", f"http://u:{SECRET}@127.0.0.1:1", f"http://u:{SECRET}", f"://{SECRET}",
        f"{SECRET}:x", f"http:///{SECRET}", f"http://u:{SECRET}@h@h:1",
    ],
)  # fmt: skip
def test_an_invalid_proxy_is_reported_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(BundleError) as raised:
        fetch(MlflowServer("http://127.0.0.1:1"), IRIS_1, tmp_path / "iris")
    assert SECRET not in str(raised.value)


def test_foreign_text_cannot_control_a_terminal() -> None:
    assert printable("a\x1b[31m\u202e\r\nb \udcff\x9b") == r"a\x1b[31m\u202e\r\nb \udcff\x9b"
    assert len(printable("x" * 10_000)) == len(printable("\x1b" * 10_000)) == 1000
