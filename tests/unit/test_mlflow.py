"""An MLflow server that misbehaves is reported in a sentence; it hangs nothing and fills no memory."""

import json
from argparse import ArgumentTypeError
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from bundle.errors import BundleError, printable
from bundle.manifest import sealed
from registry import fetch as fetching
from registry.credentials import VARIABLES, Credentials, read_credentials
from registry.fetch import fetch
from registry.mlflow import FETCH_BYTES, MlflowServer
from registry.reference import RegisteredAlias, RegisteredVersion, parse_reference
from tests.harness import HEART
from tests.mlflow import NO_ALIAS, Answer, RawServer, answered, has_alias, registry
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
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def fetched(folder: Path, **changed: Answer) -> RawServer:
    """Fetch iris from a server that answers like MLflow, except on some paths; return the server."""
    with RawServer(registry(IRIS, "v1", changed)) as server:
        assert fetch(MlflowServer(server.url), IRIS_1, folder / "iris").version == "v1"
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


# ---- names and aliases ----


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("models:/credit/2", RegisteredVersion("credit", "2")),
        ("models:/Credit_Risk/12", RegisteredVersion("Credit_Risk", "12")),
        ("models:/prod.credit.Risk-1/3", RegisteredVersion("prod.credit.Risk-1", "3")),
        ("models:/Größe 2/1", RegisteredVersion("Größe 2", "1")),
        ("models:/_/1", RegisteredVersion("_", "1")),
        ("models:/credit@champion", RegisteredAlias("credit", "champion")),
        ("models:/Credit Risk@next-best_2", RegisteredAlias("Credit Risk", "next-best_2")),
        *(
            (text, None)
            for text in (
                "models:/credit", "models:/credit/0", "models:/credit/02", "models:/credit/latest",
                "models:/credit/²", "models:/credit/Production", "models:/credit@", "models:/credit@a@b",
                "models:/a@b/1", "models:/../1", "models:/./1", "models:/ credit/1", "models:/credit /1",
                "models:/a/b/1", "models:/a:b/1", "models:/a%2F/1", "models:/a\n/1",
                "models:/a\u202eb/1", "models:/a\x1b[31m/1", "models:/a&b/1", "models:/a?b/1",
                "models:/a#b/1", f"models:/{'a' * 256}/1", f"models:/a/{'1' * 10}",
                f"models:/a@{'b' * 256}", "models://a/1", "credit", "",
            )
        ),
    ],
)  # fmt: skip
def test_a_registered_model_is_named_by_number_or_alias(
    text: str, reference: RegisteredVersion | RegisteredAlias | None
) -> None:
    assert parse_reference(text) == reference
    if reference:
        assert str(reference) == text
        assert text.isprintable()


def test_an_alias_is_resolved_once_and_its_version_is_fetched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder has the name that the bundle declares, whatever the registered model is called."""
    caplog.set_level("INFO", "serving")
    with RawServer(registry(IRIS, "v1", {})) as server:
        mlflow = MlflowServer(server.url)
        with fetching.fetched(RegisteredAlias("Größe 2", "champion"), mlflow) as model:
            assert (model.folder / "iris" / "v1" / "model.onnx").exists()
        assert (model.model, model.version) == ("iris", "v1")
    assert str(model.registered) == "models:/Größe 2/3 (alias champion)"
    (fields,) = [record.__dict__["fields"] for record in caplog.records if record.message == "fetched"]
    found = {"model": "Größe 2", "number": "3", "alias": "champion", "version": "v1", "from": server.url}
    assert fields == found
    asked = [request.split(" ")[1].removeprefix("/api/2.0/mlflow/") for request in server.requests[:2]]
    assert asked == [
        "registered-models/alias?name=Gr%C3%B6%C3%9Fe+2&alias=champion",
        "model-versions/get-download-uri?name=Gr%C3%B6%C3%9Fe+2&version=3",
    ]
    assert sum("/alias?" in request for request in server.requests) == 1


NOT_THERE = answered({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "\x1b"}, "404 x")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (NO_ALIAS, "has no models:/iris@champion"),
        (NOT_THERE, "has no models:/iris@champion"),
        (answered(b"", "404 MARKED"), "models:/iris@champion: "),
        (answered(b"", "401 MARKED"), "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TR"),
        (answered({}), NO_SERVER),
        (answered({"model_version": None}), NO_SERVER),
        (answered({"model_version": ["3"]}), NO_SERVER),
        (has_alias(3), NO_SERVER),
        (has_alias("0"), NO_SERVER),
        (has_alias("3&name=other"), NO_SERVER),
        (has_alias("9" * 10), NO_SERVER),
    ],
)
def test_an_alias_that_names_no_version_is_reported(answer: Answer, sentence: str) -> None:
    with RawServer(lambda _: answer) as server, pytest.raises(BundleError) as raised:
        MlflowServer(server.url).resolve(RegisteredAlias("iris", "champion"))
    said = str(raised.value)
    assert sentence in said
    assert said.isprintable()
    assert "MARKED" not in said


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
        assert fetch(MlflowServer(uri), IRIS_1, tmp_path / "iris").version == "v1"
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
    ("userinfo", "variables", "header"),
    [
        ("", {}, None),
        ("", {"USERNAME": "user", "PASSWORD": "pw"}, "Basic dXNlcjpwdw=="),
        ("", {"USERNAME": "user", "PASSWORD_FILE": "pw\n"}, "Basic dXNlcjpwdw=="),
        ("", {"USERNAME": "usér", "PASSWORD": "p:w"}, "Basic dXPDqXI6cDp3"),
        ("", {"USERNAME": "user", "PASSWORD": "\udcff"}, "Basic dXNlcjr/"),
        ("", {"TOKEN": "a.b-c"}, "Bearer a.b-c"),
        ("", {"TOKEN_FILE": " a.b-c\r\n"}, "Bearer a.b-c"),
        ("", {"USERNAME": "user", "PASSWORD": "pw", "TOKEN": "a.b-c"}, "Basic dXNlcjpwdw=="),
        ("user:pw@", {"USERNAME": "u", "PASSWORD": "p"}, "Basic dXNlcjpwdw=="),
        ("user:pw@", {"TOKEN": "a.b-c"}, "Basic dXNlcjpwdw=="),
        ("", {"USERNAME": "", "PASSWORD": "", "TOKEN": "", "TOKEN_FILE": ""}, None),
    ],
)
def test_credentials_of_the_environment_are_sent_as_mlflows_client_sends_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    userinfo: str,
    variables: dict[str, str],
    header: str | None,
) -> None:
    for name, value in variables.items():
        if name.endswith("_FILE") and value:
            (tmp_path / name).write_text(value, encoding="utf-8")
        monkeypatch.setenv(
            f"MLFLOW_TRACKING_{name}", str(tmp_path / name) if name.endswith("_FILE") and value else value
        )
    run = run_at("mlflow-artifacts:/0/r")
    with RawServer(lambda path: run if "/runs/get?" in path else answered(b"a,b\n")) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{userinfo}{server.host}")
        rows_file(ROWS)
    assert len(server.requests) == 2
    for request in server.requests:
        sent = [line for line in request.split("\r\n") if line.lower().startswith("authorization")]
        assert sent == ([f"Authorization: {header}"] if header else [])


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"USERNAME": SECRET}, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or "),
        ({"PASSWORD": SECRET}, "are set together, or neither"),
        ({"USERNAME": "u", "PASSWORD": SECRET, "PASSWORD_FILE": "pw"}, "contradict each other: set one"),
        ({"TOKEN": SECRET, "TOKEN_FILE": "pw"}, "TOKEN and MLFLOW_TRACKING_TOKEN_FILE contradict"),
        ({"TOKEN": f"{SECRET}\r\nX: y"}, "MLFLOW_TRACKING_TOKEN has characters that a header cannot carry"),
        ({"TOKEN": f"{SECRET}é"}, "has characters that a header cannot carry"),
        (
            {"TOKEN_FILE": f"/{SECRET}"},
            "TOKEN_FILE cannot be read: No such file or directory",
        ),
        ({"TOKEN_FILE": "."}, "MLFLOW_TRACKING_TOKEN_FILE cannot be read: it is not a regular file"),
        (
            {"USERNAME": "u", "PASSWORD_FILE": "/dev/null"},
            "PASSWORD_FILE cannot be read: it is not a regular",
        ),
        ({"TOKEN_FILE": "{blank}"}, "MLFLOW_TRACKING_TOKEN_FILE is empty: write the secret into it"),
        ({"TOKEN_FILE": "{binary}"}, "MLFLOW_TRACKING_TOKEN_FILE is not text in UTF-8"),
        (
            {"TOKEN_FILE": "{large}"},
            "TOKEN_FILE cannot be read: it is larger than 4096 bytes",
        ),
    ],
)
def test_invalid_credentials_are_reported_without_repeating_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    content = {"blank": b" \n", "binary": f"{SECRET}\xff".encode("latin-1"), "large": b"x" * 4097}
    for name, written in content.items():
        (tmp_path / name).write_bytes(written)
    for name, value in variables.items():
        path = value.strip("{}")
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", str(tmp_path / path) if path in content else value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(ArgumentTypeError) as raised:
        rows_file(ROWS)
    said = str(raised.value)
    assert sentence in said
    assert said.isprintable()
    assert SECRET not in said


def test_credentials_are_not_in_a_representation() -> None:
    given = {"MLFLOW_TRACKING_USERNAME": "user", "MLFLOW_TRACKING_PASSWORD": SECRET}
    credentials = read_credentials(given | {"MLFLOW_TRACKING_TOKEN": f"t{SECRET}"})
    assert credentials == Credentials("user", SECRET, f"t{SECRET}")
    assert repr(credentials) == "Credentials(username='user')"


def test_credentials_follow_no_redirect_to_another_server(tmp_path: Path) -> None:
    with RawServer(lambda _: answered({})) as other:
        moved = answered(b"", "302 Found", f"Location: {other.url}/x")
        with RawServer(lambda _: moved) as server, pytest.raises(BundleError, match="is not followed"):
            fetch(MlflowServer(server.url, Credentials(token=SECRET)), IRIS_1, tmp_path / "iris")
    assert len(server.requests) == 1
    assert other.requests == []


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
        assert fetch(MlflowServer("http://mlflow.invalid"), IRIS_1, tmp_path / "iris").version == "v1"
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
