"""nginx and HAProxy as unprivileged processes in front of replicas, and clients that use them."""

import random
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

import requests

from tests.harness import eventually, free_port

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_buffer_size 2m;
  proxy_max_temp_file_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream replicas {{
    {servers}
    keepalive 128;
    keepalive_timeout {pool_seconds}s;
    keepalive_requests 100000;
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    keepalive_timeout 300s;
    location /heart/ {{
      proxy_pass http://replicas/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream error timeout;
    }}
  }}
}}
"""

HAPROXY = """
global
defaults
  mode http
  retries 0
  timeout connect 5s
  timeout client 300s
  timeout server 60s
  timeout http-keep-alive 300s
frontend clients
  bind 127.0.0.1:{port}
  monitor-uri /all-are-up
  monitor fail if {{ nbsrv(replicas) lt {number} }}
  default_backend replicas
backend replicas
  http-reuse always
  option httpchk GET /readyz
  default-server check inter 200ms fall 1 rise 1 pool-purge-delay {purge_milliseconds}ms
  {servers}
"""


def make_certificate(folder: Path) -> Path:
    """Write a key and a self-signed certificate for 127.0.0.1, and return the certificate."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return folder / "certificate.pem"


@contextmanager
def running(command: Sequence[str | Path], port: int) -> Iterator[None]:
    """Run a proxy until the end of the block; it listens when the block begins."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: process.poll() is not None or listens(port), "the proxy listens")
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def nginx(folder: Path, ports: Sequence[int], pool_seconds: int) -> Iterator[int]:
    """Run nginx with TLS and the prefix /heart/, and yield its port. Its certificate is in the folder."""
    port = free_port()
    make_certificate(folder)
    servers = "\n    ".join(f"server 127.0.0.1:{replica} max_fails=0;" for replica in ports)
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(folder=folder, port=port, servers=servers, pool_seconds=pool_seconds), encoding="utf-8"
    )
    with running(["nginx", "-c", config, "-e", folder / "error.log"], port):
        yield port


@contextmanager
def haproxy(folder: Path, ports: Sequence[int], pool_seconds: int) -> Iterator[int]:
    """Run HAProxy with checks of /readyz, and yield its port.

    It closes half of its idle connections each time: in four times there is none of ten left.
    """
    port = free_port()
    servers = "\n  ".join(f"server s{replica} 127.0.0.1:{replica}" for replica in ports)
    config = folder / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(port=port, servers=servers, purge_milliseconds=250 * pool_seconds, number=len(ports)),
        encoding="utf-8",
    )
    with running(["haproxy", "-db", "-f", config], port):
        yield port


class Clients:
    """Closed-loop clients on kept connections that pause between requests; counts what they were answered."""

    def __init__(
        self, port: int, path: str, body: str, pauses: tuple[float, float], certificate: Path | None = None
    ) -> None:
        self._port = port
        self._path = path
        self._body = body
        self._pauses = pauses
        self._trust = ssl.create_default_context(cafile=certificate) if certificate else None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()

    @contextmanager
    def asking(self, clients: int) -> Iterator[None]:
        """Ask until the end of the block."""
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(clients)]
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def _connect(self) -> HTTPConnection:
        if self._trust:
            return HTTPSConnection("127.0.0.1", self._port, timeout=30, context=self._trust)
        return HTTPConnection("127.0.0.1", self._port, timeout=30)

    def _ask(self, seed: int) -> None:
        pause = random.Random(seed)
        connection = self._connect()
        while not self._stop.wait(pause.uniform(*self._pauses)):
            try:
                connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                response.read()
                outcome = str(response.status)
            except (HTTPException, OSError) as error:
                outcome = type(error).__name__
                connection.close()
            with self._lock:
                self.answers[outcome] += 1
        connection.close()

    def all_are_up(self) -> bool:
        """Return whether HAProxy sends requests to all replicas."""
        url = f"http://127.0.0.1:{self._port}/all-are-up"
        return requests.get(url, timeout=5).status_code == 200

    @property
    def asked(self) -> int:
        return sum(self.answers.values())

    @property
    def lost(self) -> int:
        """How many got no answer of the server."""
        return self.asked - self.answers["200"]
