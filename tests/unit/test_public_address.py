"""Which peers are believed, where no test can connect from: other networks, IPv6, and no address at all."""

from ipaddress import ip_network
from typing import Any

import pytest

from serving.http.public_address import PublicAddress
from serving.request import RequestRecord

HEADERS = {b"x-forwarded-proto": b"https", b"host": b"pod:8000"}


@pytest.mark.parametrize(
    ("client", "believed"),
    [
        (("10.244.3.7", 1), True),
        (("::ffff:10.244.3.7", 1), True),
        (("2001:db8::7", 1), True),
        (("10.245.0.1", 1), False),
        (("::ffff:10.245.0.1", 1), False),
        (("2001:db9::7", 1), False),
        (("fe80::1%eth0", 1), False),
        (("testclient", 1), False),
        (("", 0), False),
        (None, False),
    ],
)
def test_only_named_networks_are_believed(client: tuple[str, int] | None, believed: bool) -> None:
    address = PublicAddress("", (ip_network("10.244.0.0/16"), ip_network("2001:db8::/32")))
    record = RequestRecord("id", dict(HEADERS))
    scope: dict[str, Any] = {"path": "/", "scheme": "http", "client": client, "record": record}
    assert address.locate(scope) == "/"
    assert scope["scheme"] == ("https" if believed else "http")


@pytest.mark.parametrize(
    ("root", "of_uvicorn", "path", "own", "public"),
    [
        ("", "", "/predict", "/predict", "/predict"),
        ("/api", "", "/predict", "/predict", "/api/predict"),
        ("/api", "", "/api/predict", "/predict", "/api/predict"),
        ("/api", "", "/api", "/", "/api/"),
        ("/api", "", "/apis", "/apis", "/api/apis"),
        ("/api", "", "/api/api/x", "/api/x", "/api/api/x"),
        ("", "/api", "/api/predict", "/predict", "/api/predict"),
        ("", "/api/", "/api//predict", "/predict", "/api/predict"),
        ("/api", "/api", "/api/predict", "/predict", "/api/predict"),
        ("/api", "/api", "/api/api/predict", "/predict", "/api/predict"),
    ],
)
def test_a_path_has_a_name_inside_and_one_outside(
    root: str, of_uvicorn: str, path: str, own: str, public: str
) -> None:
    scope: dict[str, Any] = {"path": path, "root_path": of_uvicorn}
    assert PublicAddress(root).locate(scope) == own
    assert (scope["path"], scope["root_path"]) == (public, root or of_uvicorn.rstrip("/"))
