"""An image registry on loopback, Debian's docker-registry: open, or with tokens as Docker Hub has them."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import requests

from tests.harness import eventually, free_port

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIGURATION = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{host}"}}
"""
TOKENS = 'auth: {{silly: {{realm: "{address}", service: registry}}}}'


class Tokens(BaseHTTPRequestHandler):
    """Gives a token to everybody who asks for one to pull with."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        pulls = asked.get("service") == ["registry"] and asked["scope"][0].endswith(":pull")
        body = json.dumps({"token": "anonymous"} if pulls else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Registry:
    def __init__(self, address: str) -> None:
        self.address = address
        self._headers = {"Authorization": "Bearer pusher"}

    def push(self, repository: str, tag: str, platforms: tuple[str, ...]) -> str:
        """Push an empty image for each platform, and an index of them; return the digest of the index."""
        manifests = [self._image(repository, platform) for platform in platforms]
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
        return self._manifest(repository, tag, INDEX, index)

    def push_image(self, repository: str, tag: str) -> None:
        """Push an image of one platform alone under a tag."""
        self._manifest(repository, tag, MANIFEST, self._content(repository, "amd64"))

    def _image(self, repository: str, platform: str) -> dict[str, object]:
        content = self._content(repository, platform)
        digest = self._manifest(repository, digest_of(content), MANIFEST, content)
        architecture = {"os": "linux", "architecture": platform}
        return {"mediaType": MANIFEST, "digest": digest, "size": len(content), "platform": architecture}

    def _content(self, repository: str, platform: str) -> bytes:
        settings = json.dumps(
            {"os": "linux", "architecture": platform, "rootfs": {"type": "layers"}}
        ).encode()
        kind = "application/vnd.oci.image.config.v1+json"
        described = {"mediaType": kind, "digest": self._blob(repository, settings), "size": len(settings)}
        image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}
        return json.dumps(image).encode()

    def _blob(self, repository: str, content: bytes) -> str:
        begun = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        digest = digest_of(content)
        self._ask("PUT", f"{begun.headers['Location']}&digest={digest}", content)
        return digest

    def _manifest(self, repository: str, reference: str, kind: str, content: bytes) -> str:
        self._ask("PUT", f"/v2/{repository}/manifests/{reference}", content, {"Content-Type": kind})
        return digest_of(content)

    def _ask(
        self, method: str, path: str, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> requests.Response:
        address = path if path.startswith("http") else f"{self.address}{path}"
        both = self._headers | (headers or {})
        response = requests.request(method, address, data=content, headers=both, timeout=10)
        response.raise_for_status()
        return response


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """Run a registry with its data in a folder, and what gives out its tokens, as long as the context."""
    tokens = ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    Thread(target=tokens.serve_forever, daemon=True).start()
    realm = f"http://127.0.0.1:{tokens.server_port}/token"
    try:
        with _serving(folder, TOKENS.format(address=realm)) as host:
            yield Registry(f"http://{host}")
    finally:
        tokens.shutdown()
        tokens.server_close()


@contextmanager
def open_registry(folder: Path) -> Iterator[str]:
    """Run a registry that asks for no token as long as the context, and yield its host and port."""
    with _serving(folder) as host:
        yield host


@contextmanager
def _serving(folder: Path, authorisation: str = "") -> Iterator[str]:
    assert shutil.which("docker-registry"), "there is no registry: install Debian's package docker-registry"
    host = f"127.0.0.1:{free_port()}"
    file = folder / "registry.yml"
    file.write_text(CONFIGURATION.format(folder=folder / "data", host=host) + authorisation, encoding="utf-8")
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", file], stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(host), "the registry answers")
        yield host
    finally:
        process.terminate()
        process.wait(10)


def _answers(host: str) -> bool:
    try:
        return requests.get(f"http://{host}/v2/", timeout=5).status_code in {200, 401}
    except requests.RequestException:
        return False
