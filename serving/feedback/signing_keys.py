"""The keys that sign prediction ids: files of a folder, each named by the day from which it signs.

A day is that of UTC (2026-11-22): a key for tomorrow is known everywhere before any replica signs with it. An
entry that is no key is logged and skipped. A key that is removed, or can no longer be read, neither signs nor
verifies: to remove a key is to revoke it, whatever else is in the folder.
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from serving.secret_files import SecretError, read_secret
from serving.settings import SettingsError

log = logging.getLogger("serving")

MAC_BYTES = 16
EPOCH = date(1970, 1, 1).toordinal()
DAYS = range(2**16)
"""Days that an id can hold, counted from the epoch."""

MEANT_AS_KEY = re.compile(r"[0-9]{4}")
"""Start of a name that is meant as a key: not README, and not the entries that Kubernetes mounts."""

KEY_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NO_DAY = "is not named by a day, such as 2026-11-22"
LISTED_FAULTS = 5
HOW = 'make one: mkdir -p keys && openssl rand -hex 32 > "keys/$(date -u +%F)"'


@dataclass(frozen=True)
class Key:
    """A key that signs from a day on. The secret may have any length: its hash is the key of BLAKE2s."""

    day: int
    secret: bytes

    def begin(self, content: bytes) -> hashlib.blake2s:
        """Return the MAC of a content that may go on."""
        return hashlib.blake2s(content, key=hashlib.blake2s(self.secret).digest(), digest_size=MAC_BYTES)


class Keys:
    """The keys of a folder: of those whose day has come the newest signs, and all of them verify.

    While none may sign `signing` is None. `faults` say what is wrong with the folder now.
    """

    def __init__(self, folder: Path) -> None:
        """Read the folder; SettingsError where nothing in it can sign."""
        self._folder = folder
        self._keys, self.signing, self.faults = self._read()
        if self.signing is None:
            raise SettingsError(f"FEEDBACK_KEYS={folder}: {listed(self.faults)}; {HOW}")
        if self.faults:
            self._log_faults()

    def refresh(self) -> None:
        """Read the folder again, and log its faults where they have changed."""
        before = self.faults
        self._keys, self.signing, self.faults = self._read()
        if self.faults != before:
            self._log_faults()

    def get(self, day: int) -> Key | None:
        return self._keys.get(day)

    @property
    def verifies(self) -> bool:
        """Whether there is any key."""
        return bool(self._keys)

    def _read(self) -> tuple[dict[int, Key], Key | None, list[str]]:
        """Return the keys by day, the one that signs, and what is wrong."""
        try:
            files = sorted(file for file in self._folder.iterdir() if MEANT_AS_KEY.match(file.name))
        except OSError as error:
            return {}, None, [f"the folder of keys cannot be read: {error.strerror}"]
        keys, faults = {}, []
        for file in files:
            try:
                key = read_key(file)
            except SecretError as error:
                faults.append(f"{file.name!a} {error}")
            else:
                keys[key.day] = key
        today = datetime.now(UTC).date().toordinal() - EPOCH
        begun = [day for day in keys if day <= today]
        if not begun:
            return keys, None, ["the folder holds no key of a day up to today", *faults]
        return keys, keys[max(begun)], faults

    def _log_faults(self) -> None:
        fields = {"folder": str(self._folder)}
        if self.faults:
            log.error("keys cannot be used", extra={"fields": fields | {"faults": listed(self.faults)}})
        else:
            log.info("all keys can be used", extra={"fields": fields})


def read_key(file: Path) -> Key:
    """Return the key in a file; SecretError where it holds none."""
    if not KEY_NAME.fullmatch(file.name):
        raise SecretError(NO_DAY)
    try:
        day = date.fromisoformat(file.name).toordinal() - EPOCH
    except ValueError:
        raise SecretError(NO_DAY) from None
    if day not in DAYS:
        raise SecretError("is named by a day before 1970-01-01 or after 2149-06-06")
    return Key(day, read_secret(file))


def listed(faults: list[str]) -> str:
    more = len(faults) - LISTED_FAULTS
    return "; ".join(faults[:LISTED_FAULTS] + [f"and {more} more"] * (more > 0))
