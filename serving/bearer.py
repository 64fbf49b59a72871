"""A token that clients send as `Authorization: Bearer TOKEN`, in a file that may be replaced at any time."""

import hmac
import re
from pathlib import Path

from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from serving.errors import TokenUnavailable, Unauthorized
from serving.secret_files import MAKE_ONE, SecretError, named, read_secret
from serving.settings import SettingsError

TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""What a header may bear (RFC 6750)."""


class BearerToken(HTTPBearer):
    """Lets a request pass that bears the token: a dependency of a route, by which OpenAPI shows it."""

    def __init__(self, setting: str, file: Path, called: str) -> None:
        """Raise SettingsError where the file has no token; `called` is how clients know it."""
        super().__init__(scheme_name="token", description=f"That of the server's {setting}")
        self._setting = setting
        self._file = file
        self._called = called
        read_token(setting, file)

    async def __call__(self, request: HTTPConnection) -> None:
        """Raise Unauthorized without the token, and TokenUnavailable where the file has none any more."""
        try:
            token = read_token(self._setting, self._file)
        except SettingsError as error:
            raise TokenUnavailable(
                "The token cannot be checked at the moment; the server's log says why.",
                cause=str(error),
                headers={"Retry-After": "5"},
            ) from None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token):
            raise Unauthorized(
                f"Send {self._called}: 'Authorization: Bearer TOKEN'.", headers={"WWW-Authenticate": "Bearer"}
            )


def read_token(setting: str, file: Path) -> bytes:
    """Return the token; SettingsError where there is none that is worth the name."""
    try:
        token = read_secret(file)
    except SecretError as error:
        raise SettingsError(f"{named(setting, file)} {error}") from None
    if not TOKEN.fullmatch(token):
        raise SettingsError(f"{named(setting, file)} has characters that no header bears: {MAKE_ONE}")
    return token
