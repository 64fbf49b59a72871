"""Ids of predictions: each says what was predicted, and proves that this installation did.

So nothing is stored to answer, and whoever has the id can tell an outcome weeks later. It is, in hexadecimal,

    day of the key (u16) | second (u32) | random (u64) | class (u8) | number of probabilities (u8)
    | each in millionths (u32) | model/version | 16 bytes of HMAC-BLAKE2s (RFC 2104) of all that

Of two classes it holds the probability of the positive one. Keys are files of a folder, each named by the day
(2026-11-22, in UTC) from which it signs: a key for tomorrow is known everywhere before anyone signs with it.
"""

import hashlib
import hmac
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from random import getrandbits
from time import time

from serving.catalogue import Answer, ServedModel
from serving.errors import ValidationError
from serving.settings import SettingsError

HEAD = struct.Struct(">HIQBB")
MILLION = 1_000_000
MAC_BYTES = 16
BLOCK_BYTES = 64
LEAST_KEY_BYTES = 32
SECONDS_A_DAY = 86_400

KEY_NAME = re.compile(r"\d{4}-\d{2}-\d{2}")
ID = re.compile(r"([0-9a-f]{2}){40,400}")

HOW = 'make one: mkdir -p keys && openssl rand -hex 32 > "keys/$(date -u +%F)"'


class Key:
    """A key that has begun to hash, so that an id costs two short hashes.

    BLAKE2s, because Python brings it: OpenSSL's SHA-256 takes twice as long between two system calls, where
    nothing of it is in the processor's cache.
    """

    def __init__(self, day: int, secret: bytes) -> None:
        self.day = day
        if len(secret) > BLOCK_BYTES:
            secret = hashlib.blake2s(secret).digest()
        padded = secret.ljust(BLOCK_BYTES, b"\0")
        self._begin_inner = hashlib.blake2s(bytes(byte ^ 0x36 for byte in padded)).copy
        self._begin_outer = hashlib.blake2s(bytes(byte ^ 0x5C for byte in padded)).copy

    def mac(self, message: bytes) -> bytes:
        inner, outer = self._begin_inner(), self._begin_outer()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()[:MAC_BYTES]


class Keys:
    """The keys of a folder: of those whose day has come the newest signs, and all of them verify."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys, self.signing = self._read()

    def refresh(self) -> None:
        """Take up keys that have come; where the folder cannot be read, those that are known stay."""
        with suppress(SettingsError):
            self._keys, self.signing = self._read()

    def get(self, day: int) -> Key | None:
        return self._keys.get(day)

    def _read(self) -> tuple[dict[int, Key], Key]:
        """Return the keys by day, and the one that signs."""
        try:
            files = sorted(file for file in self._folder.iterdir() if KEY_NAME.fullmatch(file.name))
            keys = {key.day: key for key in map(read_key, files)}
        except OSError as error:
            raise SettingsError(
                f"FEEDBACK_KEYS={self._folder}: the folder of keys cannot be read ({error.strerror}); {HOW}"
            ) from None
        today = datetime.now(UTC).date().toordinal() - EPOCH
        begun = [day for day in keys if day <= today]
        if not begun:
            raise SettingsError(f"FEEDBACK_KEYS={self._folder} holds no key of a day up to today; {HOW}")
        return keys, keys[max(begun)]


EPOCH = date(1970, 1, 1).toordinal()


def read_key(file: Path) -> Key:
    secret = file.read_bytes().strip()
    if len(secret) < LEAST_KEY_BYTES:
        raise SettingsError(f"FEEDBACK_KEYS: {file} is shorter than {LEAST_KEY_BYTES} characters; {HOW}")
    try:
        day = date.fromisoformat(file.name).toordinal() - EPOCH
    except ValueError:
        raise SettingsError(f"FEEDBACK_KEYS: {file} is not named by a day, such as 2026-11-22") from None
    return Key(day, secret)


def id_writer(keys: Keys, model: ServedModel) -> Callable[[Answer], str]:
    """Return what writes the id of an answer of this version."""
    origin = f"{model.name}/{model.version}".encode()
    binary = model.declaration.binary
    number = 1 if binary else len(model.declaration.classes)
    pack = struct.Struct(f"{HEAD.format}{number}I{len(origin)}s").pack

    def of_two(answer: Answer) -> str:
        key = keys.signing
        millionths = int(answer.probabilities[1] * MILLION + 0.5)
        said = pack(key.day, int(time()), getrandbits(64), answer.index, 1, millionths, origin)
        return (said + key.mac(said)).hex()

    def of_many(answer: Answer) -> str:
        key = keys.signing
        millionths = [int(it * MILLION + 0.5) for it in answer.probabilities]
        said = pack(key.day, int(time()), getrandbits(64), answer.index, number, *millionths, origin)
        return (said + key.mac(said)).hex()

    return of_two if binary else of_many


@dataclass(frozen=True)
class Predicted:
    """What an id says. `number` is unlike that of every other prediction."""

    number: str
    model: str
    version: str
    second: int
    index: int
    probabilities: list[float]


def read_id(text: object, keys: Keys, days: int) -> Predicted:
    """Return what an id says; ValidationError where it is none of ours, or older than `days`."""
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise ValidationError("'prediction_id' must be the one that an answer had.")
    content = bytes.fromhex(text)
    said, mac = content[:-MAC_BYTES], content[-MAC_BYTES:]
    day = int.from_bytes(said[:2], "big")
    if keys.get(day) is None:
        keys.refresh()
    key = keys.get(day)
    if key is None or not hmac.compare_digest(key.mac(said), mac):
        raise ValidationError("'prediction_id' was not made by this installation, or its key is gone.")
    _, second, random, index, number = HEAD.unpack_from(said)
    *millionths, origin = struct.unpack_from(
        f">{number}I{len(said) - HEAD.size - 4 * number}s", said, HEAD.size
    )
    if second < time() - days * SECONDS_A_DAY:
        raise ValidationError(f"'prediction_id' has expired: outcomes are taken for {days} days.")
    model, _, version = origin.decode().rpartition("/")
    probabilities = [it / MILLION for it in millionths]
    return Predicted(f"{second:08x}{random:016x}", model, version, second, index, probabilities)
