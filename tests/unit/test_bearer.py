"""The token is in a file, which may be replaced at any time, and may be anything that a path can name."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from serving.bearer import BearerToken
from serving.errors import TokenUnavailable, Unauthorized
from serving.settings import SettingsError

TOKEN = "5d41402abc4b2a76b9719d911017c5927f83b1657ff1fc53b92dc18148a1d65d"  # noqa: S105


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return file


def check(token: BearerToken, authorization: bytes | None) -> None:
    headers = [] if authorization is None else [(b"authorization", authorization)]
    asyncio.run(token(HTTPConnection({"type": "http", "headers": headers})))


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN} "])
def test_the_token_is_accepted(file: Path, given: str) -> None:
    check(BearerToken("TOKEN_FILE", file, "the token"), given.encode())


@pytest.mark.parametrize(
    "given",
    [
        None, b"", TOKEN.encode(), b"Bearer", b"Bearer ", f"Bearer {TOKEN[:-1]}".encode(),
        f"Bearer {TOKEN}0".encode(), f"Bearer {TOKEN.upper()}".encode(), f"Basic {TOKEN}".encode(),
        f"Bearer{TOKEN}".encode(), f"Bearer {TOKEN} {TOKEN}".encode(), b"Bearer \xc3\xa9",
        b"Bearer \xff" * 99,
    ],
)  # fmt: skip
def test_no_other_token_is_accepted(file: Path, given: bytes | None) -> None:
    with pytest.raises(
        Unauthorized, match="Send the token of this test: 'Authorization: Bearer TOKEN'"
    ) as no:
        check(BearerToken("TOKEN_FILE", file, "the token of this test"), given)
    assert no.value.headers == {"WWW-Authenticate": "Bearer"}


def test_a_replaced_token_takes_effect_at_once(file: Path) -> None:
    token = BearerToken("TOKEN_FILE", file, "the token")
    file.write_text(TOKEN[::-1], encoding="utf-8")
    check(token, f"Bearer {TOKEN[::-1]}".encode())
    with pytest.raises(Unauthorized):
        check(token, f"Bearer {TOKEN}".encode())


def endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


UNUSABLE: list[tuple[Callable[[Path], object], str]] = [
    (lambda _: None, "cannot be read: No such file or directory"),
    (lambda file: file.symlink_to("nowhere"), "cannot be read: No such file or directory"),
    (lambda file: file.symlink_to(file.name), "cannot be read: Too many levels of symbolic links"),
    (lambda file: file.mkdir(), "cannot be read: it is not a regular file"),
    (os.mkfifo, "cannot be read: it is not a regular file"),
    (endless, "cannot be read: it is not a regular file"),
    (lambda file: file.write_bytes(b""), "is shorter than 32 characters: openssl rand -hex 32"),
    (lambda file: file.write_bytes(b" \n" * 99), "is shorter than 32 characters: openssl rand -hex 32"),
    (lambda file: file.write_text(TOKEN[:31]), "is shorter than 32 characters: openssl rand -hex 32"),
    (lambda file: file.write_text(TOKEN * 99), "cannot be read: it is larger than 4096 bytes"),
    (lambda file: file.write_text("0" * 32), "repeats itself, and can be guessed: openssl rand -hex 32"),
    (lambda file: file.write_text("secret" * 10), "repeats itself, and can be guessed: openssl rand -hex 32"),
    (lambda file: file.write_text(f"{TOKEN}\n{TOKEN}"), "has characters that a header cannot carry: openssl"),
    (lambda file: file.write_bytes(b"\xff" + TOKEN.encode()), "has characters that a header cannot carry"),
    (lambda file: file.write_text(f"{TOKEN} {TOKEN}"), "has characters that a header cannot carry: openssl"),
]


@pytest.mark.parametrize(("write", "sentence"), UNUSABLE)
def test_an_invalid_token_stops_startup_and_later_rejects_everybody(
    file: Path, write: Callable[[Path], object], sentence: str
) -> None:
    token = BearerToken("TOKEN_FILE", file, "the token")
    file.unlink()
    write(file)
    with pytest.raises(SettingsError) as stopped:
        BearerToken("TOKEN_FILE", file, "the token")
    assert str(stopped.value).startswith(f"TOKEN_FILE={file} {sentence}")
    with pytest.raises(TokenUnavailable, match="cannot be checked") as no:
        check(token, b"Bearer ")
    assert sentence in no.value.cause
    assert TOKEN[:9] not in f"{stopped.value}{no.value.cause}"


@pytest.mark.parametrize("mistaken", [TOKEN, "c2VjcmV0/c2VjcmV0"])
def test_a_token_given_instead_of_its_file_is_not_echoed(mistaken: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKEN_FILE cannot be read: No such file or directory$"):
        BearerToken("TOKEN_FILE", Path(mistaken), "the token")
