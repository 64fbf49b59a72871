"""Signed prediction ids: each holds its prediction, and proves that this installation made it.

So a prediction need not be stored, and a client can report its outcome weeks later. An id is, in hexadecimal,

    day of the key (u16) | number of classes (u8) | length of what follows (u16) | model/version/origin
    | second (u32) | number (u64) | predicted class (u8) | the probability of each class (f32)
    | 16 bytes of keyed BLAKE2s (RFC 7693) of all that

The origin is the bundle and the threshold that decided (serving/feedback/prediction_counts.py); ids of
earlier releases end at the version, and stay valid.
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
from serving.feedback.outcomes import SECONDS_A_DAY
from serving.feedback.prediction_counts import ORIGIN, origin_of
from serving.feedback.signing_keys import MAC_BYTES, Key, Keys
from serving.inference.catalogue import Prediction, ServedModel
from serving.settings import VERSION, SettingsError

MOST_CLASSES = 255
MOST_VERSION_CHARACTERS = 63
"""As many as serving/feedback/store.py keeps."""

CLOCK_SKEW_SECONDS = 60
"""How far the clocks of replicas may differ."""

ROUNDING = 1e-3
"""How far the sum of probabilities may miss 1: each of up to 255 is rounded to six decimals."""

RETRY = {"Retry-After": "5"}
ID = re.compile(r"([0-9a-f]{2}){40,1600}")


def id_writer(
    keys: Keys, model: ServedModel, counted: list[int] | None = None
) -> Callable[[Prediction], str]:
    """Return a function that writes the id of a prediction of this version, or "" while no key may sign.

    It counts them in `counted`, by the index of the class.

    The common head is hashed once a key, and numbers are counted from a random start: between two system
    calls little of this is in the processor's cache, and each step costs several times what it costs in a
    loop. SettingsError where an id cannot hold all classes of the model.
    """
    classes = len(model.declaration.classes)
    if classes > MOST_CLASSES:
        raise SettingsError(
            f"FEEDBACK_DATABASE: '{model.name}' has {classes} classes, and ids hold {MOST_CLASSES} at most: "
            "unset it"
        )
    if counted is None:
        counted = [0] * classes
    pack, number = tail(classes).pack, count(getrandbits(63)).__next__
    key, begun, head = Key(0, b""), hashlib.blake2s(), ""  # none yet

    def write(prediction: Prediction) -> str:
        nonlocal key, begun, head
        signing = keys.signing
        if signing is not key:
            if signing is None:
                return ""
            key, begun, head = signing, *beginning(signing, model)
        counted[prediction.class_index] += 1
        content = pack(int(time()), number(), prediction.class_index, *prediction.probabilities)
        mac = begun.copy()
        mac.update(content)
        return head + (content + mac.digest()).hex()

    return write


def beginning(key: Key, model: ServedModel) -> tuple[hashlib.blake2s, str]:
    """Return the head of a version's ids: its MAC, to be continued, and its text."""
    names = f"{model.name}/{model.version}/{origin_of(model)}".encode()
    head = HEAD.pack(key.day, len(model.declaration.classes), len(names)) + names
    return key.begin(head), head.hex()


HEAD = struct.Struct(">HBH")


def tail(classes: int) -> struct.Struct:
    return struct.Struct(f">IQB{classes}f")


@dataclass(frozen=True)
class SignedPrediction:
    """The content of an id. `number` is unique among predictions."""

    number: str
    model: str
    version: str
    second: int
    class_index: int
    probabilities: list[float]
    origin: str | None = None


def read_id(text: object, keys: Keys, days: int) -> SignedPrediction:
    """Return the content of an id; ValidationError where it is not signed here, or is older than `days`.

    StoreUnavailable while there is no key at all: no signature can be verified then.
    """
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise ValidationError("'prediction_id' must be that of a response.")
    content = bytes.fromhex(text)
    signed, mac = content[:-MAC_BYTES], content[-MAC_BYTES:]
    day, _, _ = HEAD.unpack_from(signed)
    if keys.get(day) is None:
        keys.refresh()
    if not keys.verifies:
        raise StoreUnavailable("No key can be read at the moment; send the outcome again.", headers=RETRY)
    key = keys.get(day)
    if key is None or not hmac.compare_digest(key.begin(signed).digest(), mac):
        raise ValidationError("'prediction_id' was not made by this installation, or its key is gone.")
    predicted = read_content(signed)
    now = time()
    if predicted.second < now - days * SECONDS_A_DAY:
        raise ValidationError(f"'prediction_id' has expired: outcomes are accepted for {days} days.")
    if predicted.second > now + CLOCK_SKEW_SECONDS:
        raise ValidationError("'prediction_id' is dated in the future: the clocks of the servers differ.")
    return predicted


def read_content(signed: bytes) -> SignedPrediction:
    """Return the signed content; ValidationError where it is no prediction: a stolen key signs anything."""
    _, classes, length = HEAD.unpack_from(signed)
    end = HEAD.size + length
    try:
        second, number, class_index, *probabilities = tail(classes).unpack(signed[end:])
        model, _, rest = signed[HEAD.size : end].decode().partition("/")
        version, separator, origin = rest.partition("/")
    except struct.error:
        raise no_prediction("its length is wrong") from None
    except UnicodeDecodeError:
        raise no_prediction("its names are not UTF-8") from None
    if len(version) > MOST_VERSION_CHARACTERS or not re.fullmatch(VERSION, version):
        raise no_prediction("its version is none")
    if separator and not re.fullmatch(ORIGIN, origin):
        raise no_prediction("its origin is none")
    if class_index >= classes:
        raise no_prediction("its class is out of range")
    if not are_probabilities(probabilities):
        raise no_prediction("its probabilities are none")
    number_text = f"{second:08x}{number:016x}"
    return SignedPrediction(
        number_text, model, version, second, class_index, probabilities, origin if separator else None
    )


def are_probabilities(values: list[float]) -> bool:
    # NaN is not between 0 and 1 either
    return all(0 <= value <= 1 for value in values) and abs(sum(values) - 1) <= ROUNDING


def no_prediction(why: str) -> ValidationError:
    return ValidationError(f"'prediction_id' is signed but holds no prediction: {why}.")
