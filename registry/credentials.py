"""Who asks an MLflow server: the variables that MLflow's own client reads, or files that hold the secrets.

No message repeats a value: any may be a secret.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote

from bundle.files import read_file

USERNAME = "MLFLOW_TRACKING_USERNAME"
PASSWORD = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105
TOKEN = "MLFLOW_TRACKING_TOKEN"  # noqa: S105
VARIABLES = (USERNAME, PASSWORD, f"{PASSWORD}_FILE", TOKEN, f"{TOKEN}_FILE")

SECRET_BYTES = 4096
VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Credentials:
    """A user with a password, or a token.

    The first of these is sent: USER:PASSWORD@ in the address, the user, the token. So does MLflow's client.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def headers(self, address: SplitResult) -> dict[str, str]:
        """Return the header for a request to an address: Basic (RFC 7617), Bearer (RFC 6750), or none."""
        if address.username is not None:
            return basic(unquote(address.username), unquote(address.password or ""))
        if self.username is not None:
            return basic(self.username, self.password or "")
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


NOBODY = Credentials()


def basic(username: str, password: str) -> dict[str, str]:
    pair = f"{username}:{password}".encode(errors="surrogateescape")
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def read_credentials(variables: Mapping[str, object]) -> Credentials:
    """Return the credentials that variables give, some by a file; ValueError says what is wrong with them."""
    username = str(variables.get(USERNAME) or "") or None
    password, token = read_secret(variables, PASSWORD), read_secret(variables, TOKEN)
    if (username is None) != (password is None):
        raise ValueError(f"{USERNAME} and {PASSWORD} (or {PASSWORD}_FILE) are set together, or neither")
    if token is not None and not VISIBLE.fullmatch(token):
        raise ValueError(f"{TOKEN} has characters that a header cannot carry: copy it again")
    return Credentials(username, password, token)


def read_secret(variables: Mapping[str, object], name: str) -> str | None:
    """Return a secret that is in a variable, or in the file that NAME_FILE names."""
    value, file = variables.get(name), variables.get(f"{name}_FILE")
    if value and file:
        raise ValueError(f"{name} and {name}_FILE contradict each other: set one")
    if not file:
        return str(value) if value else None
    try:
        secret = read_file(Path(str(file)), SECRET_BYTES).decode().strip()
    except OSError as error:
        raise ValueError(f"{name}_FILE cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}_FILE is not text in UTF-8") from None
    if not secret:
        raise ValueError(f"{name}_FILE is empty: write the secret into it")
    return secret
