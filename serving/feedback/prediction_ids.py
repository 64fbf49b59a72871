"""Ids of predictions: each says what was predicted, and proves that this installation did.

So nothing is stored to answer, and whoever has the id can tell an outcome weeks later. It is, in hexadecimal,

    day of the key (u16) | number of classes (u8) | length of what follows (u16) | model/version
    | second (u32) | number (u64) | predicted class (u8) | the probability of each class (f32)
    | 16 bytes of keyed BLAKE2s (RFC 7693) of all that
"""

import hashlib
import hmac
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import getrandbits
from time import time

from serving.errors import StoreUnavailable, ValidationError
from serving.feedback.signing_keys import MAC_BYTES, Key, Keys
from serving.inference.catalogue import Answer, ServedModel
from serving.settings import VERSION, SettingsError

SECONDS_A_DAY = 86_400
MOST_CLASSES = 255
MOST_VERSION_CHARACTERS = 63
"""As many as serving/feedback/store.py keeps."""

CLOCK_SKEW_SECONDS = 60
"""By so much the clocks of replicas may differ."""

ROUNDING = 1e-3
"""By so much the probabilities of an answer may miss 1: each of 255 is rounded to six decimals."""

RETRY = {"Retry-After": "5"}
ID = re.compile(r"([0-9a-f]{2}){40,1600}")


def id_writer(keys: Keys, model: ServedModel) -> Callable[[Answer], str]:
    """Return what writes the id of an answer of this version, and nothing while no key may sign.

    What all its ids begin with is hashed once a key, and numbers are counted from a random one: between two
    system calls little of this is in the processor's cache, and each step costs several times what it does in
    a loop. SettingsError where an id cannot hold all classes of the model.
    """
    classes = len(model.declaration.classes)
    if classes > MOST_CLASSES:
        raise SettingsError(
            f"FEEDBACK_DATABASE: '{model.name}' has {classes} classes, and ids hold {MOST_CLASSES} at most: "
            "unset it"
        )
    pack, number = tail(classes).pack, count(getrandbits(63)).__next__
    key, begun, head = Key(0, b""), hashlib.blake2s(), ""  # none yet

    def write(answer: Answer) -> str:
        nonlocal key, begun, head
        signing = keys.signing
        if signing is not key:
            if signing is None:
                return ""
            key, begun, head = signing, *beginning(signing, model)
        content = pack(int(time()), number(), answer.index, *answer.probabilities)
        mac = begun.copy()
        mac.update(content)
        return head + (content + mac.digest()).hex()

    return write


def beginning(key: Key, model: ServedModel) -> tuple[hashlib.blake2s, str]:
    """Return what the ids of a version begin with: its MAC, which may go on, and its text."""
    origin = f"{model.name}/{model.version}".encode()
    head = HEAD.pack(key.day, len(model.declaration.classes), len(origin)) + origin
    return key.begin(head), head.hex()


HEAD = struct.Struct(">HBH")


def tail(classes: int) -> struct.Struct:
    return struct.Struct(f">IQB{classes}f")


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
    """Return what an id says; ValidationError where it is none of ours, or older than `days`.

    StoreUnavailable while there is no key at all: whose id it is cannot be told then.
    """
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise ValidationError("'prediction_id' must be the one that an answer had.")
    content = bytes.fromhex(text)
    said, mac = content[:-MAC_BYTES], content[-MAC_BYTES:]
    day, _, _ = HEAD.unpack_from(said)
    if keys.get(day) is None:
        keys.refresh()
    if not keys.verifies:
        raise StoreUnavailable("No key can be read at the moment; send the outcome again.", headers=RETRY)
    key = keys.get(day)
    if key is None or not hmac.compare_digest(key.begin(said).digest(), mac):
        raise ValidationError("'prediction_id' was not made by this installation, or its key is gone.")
    predicted = read_content(said)
    now = time()
    if predicted.second < now - days * SECONDS_A_DAY:
        raise ValidationError(f"'prediction_id' has expired: outcomes are taken for {days} days.")
    if predicted.second > now + CLOCK_SKEW_SECONDS:
        raise ValidationError("'prediction_id' is dated in the future: the clocks of the servers differ.")
    return predicted


def read_content(said: bytes) -> Predicted:
    """Return what is signed; ValidationError where no prediction says that: a stolen key signs anything."""
    _, classes, length = HEAD.unpack_from(said)
    end = HEAD.size + length
    try:
        second, number, index, *probabilities = tail(classes).unpack(said[end:])
        model, _, version = said[HEAD.size : end].decode().rpartition("/")
    except struct.error:
        raise no_predictions("its length is wrong") from None
    except UnicodeDecodeError:
        raise no_predictions("its names are not UTF-8") from None
    if len(version) > MOST_VERSION_CHARACTERS or not re.fullmatch(VERSION, version):
        raise no_predictions("its version is none")
    if index >= classes:
        raise no_predictions("its class is out of range")
    if not are_probabilities(probabilities):
        raise no_predictions("its probabilities are none")
    return Predicted(f"{second:08x}{number:016x}", model, version, second, index, probabilities)


def are_probabilities(values: list[float]) -> bool:
    # NaN is not between 0 and 1 either
    return all(0 <= value <= 1 for value in values) and abs(sum(values) - 1) <= ROUNDING


def no_predictions(why: str) -> ValidationError:
    return ValidationError(f"'prediction_id' is signed, and yet no prediction's: {why}.")
