"""Where clients find the service: behind proxies that add a path, TLS, or a name of their own."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote

from starlette.types import Scope

from serving.request import RequestRecord
from serving.setting_groups import PREFIX

Network = IPv4Network | IPv6Network

SCHEME = re.compile(r"https?")
HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9a-fA-F:.]+\](:[0-9]+)?")
UNKNOWN_HOST = "127.0.0.1:8000"


@dataclass(frozen=True)
class PublicAddress:
    """`root_path` is the prefix, such as "/api", whether the proxy strips it or not; "" is none.

    What a peer in one of the `trusted` networks says in X-Forwarded-Proto, -Host and -Prefix counts as what
    its client asked for.
    """

    root_path: str = ""
    trusted: tuple[Network, ...] = ()

    def locate(self, scope: Scope) -> str:
        """Return the path of a request as routes name it; the scope gets what the client asked for.

        uvicorn's --root-path is a prefix, too: uvicorn puts it before every path.
        """
        own = without(self.root_path, without(scope.get("root_path", ""), scope["path"]))
        self.show(own, scope)
        return own

    def show(self, own: str, scope: Scope) -> None:
        """Put into the scope what the client asked for, where routes name the path so."""
        root = self.root_path or scope.get("root_path", "").rstrip("/")
        if self.trusted and self._trusts(scope):
            root = root or forwarded(scope["record"], b"x-forwarded-prefix", PREFIX)
            take_address(scope, scope["record"])
        scope["root_path"], scope["path"] = root, root + own

    def _trusts(self, scope: Scope) -> bool:
        """Return whether the request comes from a named proxy; never from a peer without an address."""
        peer, _ = scope.get("client") or ("", 0)
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:  # of a socket for both versions
            address = address.ipv4_mapped
        return any(address in network for network in self.trusted)


NO_PREFIX = PublicAddress()


def take_address(scope: Scope, record: RequestRecord) -> None:
    """Take scheme and host from what a trusted proxy says."""
    if scheme := forwarded(record, b"x-forwarded-proto", SCHEME):
        scope["scheme"] = scheme
    if host := forwarded(record, b"x-forwarded-host", HOST):
        record.headers[b"host"] = host.encode()


def forwarded(record: RequestRecord, name: bytes, form: re.Pattern[str]) -> str:
    """Return what the nearest proxy says in a header, its last value; "" where it has another form."""
    said = record.headers.get(name, b"").decode("latin-1").rpartition(",")[2].strip()
    return said if form.fullmatch(said) else ""


def without(prefix: str, path: str) -> str:
    """Return a path without a prefix; one that does not begin with it, as it is."""
    rest = path.removeprefix(prefix)
    if not rest:
        return "/"
    return rest if rest.startswith("/") else path


def own_path(scope: Scope) -> str:
    """Return the path of a located request as routes name it."""
    path: str = scope["path"]
    return path[len(scope["root_path"]) :]


def public_prefix(scope: Scope) -> str:
    """Return what a link of a located request begins with; "" without a prefix."""
    return quote(scope["root_path"])


def public_origin(scope: Scope) -> str:
    """Return scheme and host that a located request asked for, such as "https://example.org:8443"."""
    record: RequestRecord = scope["record"]
    host = record.headers.get(b"host", b"").decode("latin-1")
    return f"{scope['scheme']}://{host if HOST.fullmatch(host) else UNKNOWN_HOST}"
