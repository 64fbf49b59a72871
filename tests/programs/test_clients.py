"""Clients of several languages get the same answers directly and through nginx with TLS and a path prefix."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import SAMPLE, Server
from tests.programs.proxies import nginx

pytestmark = [
    pytest.mark.heart,
    pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx"),
]

CLIENTS = Path(__file__).parent / "clients"
PROGRAMS = {
    "curl": "curl", "requests": sys.executable, "httpx": sys.executable, "aiohttp": sys.executable,
    "go": "go", "fetch": "node", "node:http": "node", "java": "java",
}  # fmt: skip
SHOWN = "\n%{http_code}\n%{content_type}\n%header{content-length}"
MANY = [dict(SAMPLE, age=30 + number % 40) for number in range(1000)]
BODIES = {
    "row": SAMPLE,
    "batch": {"instances": MANY[:3]},
    "invalid": dict(SAMPLE, chol=2),
    "large": {"instances": MANY},
}
REQUESTS = [("POST", "/predict", "row"), ("POST", "/predict/batch", "batch"), ("POST", "/predict", "invalid"),
            ("POST", "/predict/batch", "large"), ("GET", "/health", ""),
            ("HEAD", "/health", ""), ("HEAD", "/livez", "")]  # fmt: skip


class Fronts:
    """Addresses of one server, and the files that clients send."""

    def __init__(self, folder: Path, direct: str, proxied: str) -> None:
        self.folder = folder
        self.addresses = (direct, proxied)
        self.environment = os.environ | {
            "SSL_CERT_FILE": str(folder / "certificate.pem"),
            "REQUESTS_CA_BUNDLE": str(folder / "certificate.pem"),
            "NODE_EXTRA_CA_CERTS": str(folder / "certificate.pem"),
        }
        for name, body in BODIES.items():
            text = json.dumps(body, indent=8 if name == "large" else None)
            (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronts]:
    folder = tmp_path_factory.mktemp("fronts")
    server = Server({}).wait_until_ready()
    with nginx(folder, [server.port], 60) as port:
        yield Fronts(folder, server.url, f"https://127.0.0.1:{port}/heart")
    assert server.stop() == 0


def command(client: str, folder: Path) -> list[str]:
    """Return how a client is started, without its arguments."""
    if client == "java":
        store = folder / "trust.p12"
        if not store.exists():
            made = ["-alias", "a", "-file", str(folder / "certificate.pem"), "-keystore", str(store)]
            subprocess.run(
                ["keytool", "-importcert", "-noprompt", "-storepass", "changeit", *made],
                check=True, capture_output=True,
            )  # fmt: skip
        trust = ["-Djavax.net.ssl.trustStorePassword=changeit", f"-Djavax.net.ssl.trustStore={store}"]
        return ["java", *trust, str(CLIENTS / "Client.java")]
    if client == "go":
        binary = folder / "client"
        if not binary.exists():
            subprocess.run(["go", "build", "-o", binary, CLIENTS / "client.go"], check=True)
        return [str(binary)]
    if client in ("requests", "httpx", "aiohttp"):
        return [sys.executable, str(CLIENTS / f"{client}_client.py")]
    return ["node", str(CLIENTS / ("fetch.mjs" if client == "fetch" else "request.mjs"))]


def asked(client: str, fronts: Fronts, method: str, url: str, body: str) -> tuple[int, list[str], object]:
    """Return status, type and length, and document of a response, less what differs from request to request.

    Length is that of a response to GET and HEAD, which has not been compressed.
    """
    if client == "curl":
        sent = ["-H", "Content-Type: application/json", "--data-binary", f"@{fronts.folder / body}"]
        verb = ["--head", "-o", os.devnull] if method == "HEAD" else ["-X", method, *(sent if body else [])]
        trust = ["--cacert", str(fronts.folder / "certificate.pem")]
        words = ["curl", "-sS", *trust, *verb, "-w", SHOWN, url]
        text, status, *lines = run(words, fronts).rsplit("\n", 3)
    else:
        given = [str(fronts.folder / body)] if body else []
        words = [*command(client, fronts.folder), method, url, *given]
        status, *lines, text = run(words, fronts).split("\n", 3)
    assert not (method == "HEAD" and text.strip())
    document = json.loads(text) if text.strip() else {}
    changing = ("request_id", "uptime_seconds", "timestamp")
    told = lines if method != "POST" else lines[:1]
    return int(status), told, {name: value for name, value in document.items() if name not in changing}


def run(words: list[str], fronts: Fronts) -> str:
    done = subprocess.run(
        words, env=fronts.environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("client", PROGRAMS)
def test_a_client_gets_the_same_answers_directly_and_through_nginx(client: str, fronts: Fronts) -> None:
    if not shutil.which(PROGRAMS[client]):
        pytest.skip(f"no {PROGRAMS[client]}")
    for method, path, body in REQUESTS:
        expected = asked("curl", fronts, method, fronts.addresses[0] + path, body)
        assert expected[0] == (422 if body == "invalid" else expected[0])
        for address in fronts.addresses:
            assert asked(client, fronts, method, address + path, body) == expected, (path, body, address)


@pytest.mark.parametrize("path", ["/health", "/livez"])
def test_head_says_what_get_would(path: str, fronts: Fronts) -> None:
    for address in fronts.addresses:
        asks, gets = (asked("curl", fronts, method, address + path, "") for method in ("HEAD", "GET"))
        assert asks[:2] == gets[:2]
        assert asks[1][0] == "application/json"
        assert int(asks[1][1]) > 0
