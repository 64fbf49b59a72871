"""Checks `Authorization: Bearer TOKEN` against a token in a file, which may be replaced at any time."""

import hmac
import re
from pathlib import Path

from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from serving.errors import TokenUnavailable, Unauthorized
from serving.secret_files import MAKE_ONE, SecretError, named, read_secret
from serving.settings import SettingsError

TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""Characters of a bearer token (RFC 6750)."""


class BearerToken(HTTPBearer):
    """A route's dependency that admits requests with the token, and shows it in OpenAPI."""

    def __init__(self, setting: str, file: Path, called: str) -> None:
        """Raise SettingsError if the file has no valid token; messages to clients say `called`."""
        super().__init__(scheme_name="token", description=f"The token in the file of the server's {setting}")
        self._setting = setting
        self._file = file
        self._called = called
        read_token(setting, file)

    async def __call__(self, request: HTTPConnection) -> None:
        """Raise Unauthorized without the token, TokenUnavailable if the file no longer has a valid one."""
        try:
            token = read_token(self._setting, self._file)
        except SettingsError as error:
            raise TokenUnavailable(
                "The token cannot be checked; the server's log says why. Try again.",
                cause=str(error),
                headers={"Retry-After": "5"},
            ) from None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token):
            raise Unauthorized(
                f"Send {self._called}: 'Authorization: Bearer TOKEN'.", headers={"WWW-Authenticate": "Bearer"}
            )


def read_token(setting: str, file: Path) -> bytes:
    """Return the token; SettingsError if the file has no valid one."""
    try:
        token = read_secret(file)
    except SecretError as error:
        raise SettingsError(f"{named(setting, file)} {error}") from None
    if not TOKEN.fullmatch(token):
        raise SettingsError(f"{named(setting, file)} has characters that a header cannot carry: {MAKE_ONE}")
    return token
