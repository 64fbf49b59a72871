"""Anyone with the key can sign anything: an id that no prediction has is rejected in a sentence."""

import hashlib
import math
import struct
from contextlib import suppress
from copy import copy
from datetime import date
from time import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bundle.declaration import ClassDeclaration, Declaration
from serving.errors import ValidationError
from serving.feedback.prediction_ids import CLOCK_SKEW_SECONDS, id_writer, read_id
from serving.feedback.reports import to_outcome
from serving.feedback.signing_keys import Keys
from serving.inference.catalogue import ServedModel
from serving.settings import SettingsError

SECRET = b"a secret of thirty-two characters or more"
DAY = date(2026, 1, 1)
HEAD = struct.pack(">H", DAY.toordinal() - date(1970, 1, 1).toordinal())
ORIGIN = b"heart-disease/v1"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    (folder / str(DAY)).write_bytes(SECRET)
    return Keys(folder)


def sign(content: bytes) -> str:
    """Return the id with this content, after the day of the key."""
    key = hashlib.blake2s(SECRET).digest()
    return (HEAD + content + hashlib.blake2s(HEAD + content, key=key, digest_size=16).digest()).hex()


def content_of(**differently: Any) -> bytes:
    """Return the content of an id for a prediction made now, with these changes."""
    said: dict[str, Any] = {"origin": ORIGIN, "second": int(time()), "number": 7, "index": 1}
    said |= {"probabilities": [0.25, 0.75]} | differently
    origin, probabilities = said["origin"], said["probabilities"]
    head = struct.pack(">BH", said.get("classes", len(probabilities)), said.get("length", len(origin)))
    tail = struct.pack(">IQB", said["second"], said["number"], said["index"])
    return head + bytes(origin) + tail + struct.pack(f">{len(probabilities)}f", *probabilities)


def test_a_current_id_is_read(keys: Keys) -> None:
    said = read_id(sign(content_of()), keys, days=1)
    assert (said.model, said.version, said.class_index) == ("heart-disease", "v1", 1)
    assert said.probabilities == [0.25, 0.75]
    assert said.origin is None  # as of an earlier release


def test_an_id_knows_the_bundle_and_threshold_that_decided(keys: Keys, heart: ServedModel) -> None:
    prediction = heart.predict_row(heart.encode_row(heart.declaration.example))
    tried = copy(heart)
    tried.threshold = 0.167
    bundle = heart.manifest.sha256[:12]
    for model, origin in ((heart, f"{bundle}@0.5"), (tried, f"{bundle}@0.167")):
        said = read_id(id_writer(keys, model)(prediction), keys, days=1)
        assert (said.model, said.version, said.origin) == ("heart-disease", "v1", origin)
        assert to_outcome(said, heart.declaration, 1).origin == origin


@pytest.mark.parametrize(
    ("differently", "sentence"),
    [
        ({"index": 2}, "its class is out of range"),
        ({"index": 255}, "its class is out of range"),
        ({"origin": b"heart-disease/v1\xff"}, "its names are not UTF-8"),
        ({"origin": b"\xc3\x28/v1"}, "its names are not UTF-8"),
        ({"origin": b"heart-disease/"}, "its version is none"),
        ({"origin": b"heart-disease/v1\n"}, "its version is none"),
        ({"origin": b"heart-disease/v1\x00"}, "its version is none"),
        ({"origin": b"heart-disease/v" + b"1" * 63}, "its version is none"),
        ({"origin": b"no slash at all"}, "its version is none"),
        ({"origin": b"heart-disease/v1/"}, "its origin is none"),
        ({"origin": b"heart-disease/v1/1ad91c737e8"}, "its origin is none"),
        ({"origin": b"heart-disease/v1/1ad91c737e87@"}, "its origin is none"),
        ({"origin": b"heart-disease/v1/1ad91c737e87@" + b"1" * 33}, "its origin is none"),
        ({"origin": b"heart-disease/v1/1ad91c737e87@0.5/more"}, "its origin is none"),
        ({"length": 0}, "its length is wrong"),
        ({"length": 65_535}, "its length is wrong"),
        ({"length": len(ORIGIN) - 4}, "its length is wrong"),
        ({"classes": 0}, "its length is wrong"),
        ({"classes": 3}, "its length is wrong"),
        ({"classes": 255}, "its length is wrong"),
        ({"probabilities": [], "index": 0}, "its class is out of range"),
        ({"probabilities": [math.inf, -math.inf]}, "its probabilities are none"),
        ({"probabilities": [math.inf, 0]}, "its probabilities are none"),
        ({"probabilities": [math.nan, 1]}, "its probabilities are none"),
        ({"probabilities": [-0.5, 1.5]}, "its probabilities are none"),
        ({"probabilities": [3e38, -3e38]}, "its probabilities are none"),
        ({"probabilities": [1, 1]}, "its probabilities are none"),
        ({"probabilities": [0, 0]}, "its probabilities are none"),
        ({"probabilities": [0.49, 0.5]}, "its probabilities are none"),
    ],
)
def test_signed_content_of_no_prediction_is_rejected(
    keys: Keys, differently: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=f"is signed but holds no prediction: {sentence}"):
        read_id(sign(content_of(**differently)), keys, days=1)


@pytest.mark.parametrize("probabilities", [[1, 0], [1 / 3] * 3, [0.004] * 250, [0.500001, 0.499998]])
def test_probabilities_may_be_rounded(keys: Keys, probabilities: list[float]) -> None:
    said = read_id(sign(content_of(probabilities=probabilities)), keys, days=1)
    assert said.probabilities == pytest.approx(probabilities)


@pytest.mark.parametrize("later", [CLOCK_SKEW_SECONDS + 60, 86_400, 10 * 365 * 86_400])
def test_an_id_from_the_future_is_rejected_beyond_clock_skew(keys: Keys, later: int) -> None:
    read_id(sign(content_of(second=int(time()) + CLOCK_SKEW_SECONDS - 1)), keys, days=1)
    with pytest.raises(ValidationError, match="is dated in the future"):
        read_id(sign(content_of(second=int(time()) + later)), keys, days=1)


SOME_FLOATS = st.one_of(st.floats(width=32), st.floats(0, 1, width=32))


@st.composite
def nearly_contents(draw: st.DrawFn) -> bytes:
    """Draw what begins like an id, so that its probabilities and its class are checked, too."""
    probabilities = draw(st.lists(SOME_FLOATS, max_size=4))
    if draw(st.booleans()):
        probabilities = [draw(st.floats(0, 1, width=32))]
        probabilities.append(1 - probabilities[0])
    return content_of(
        origin=draw(st.one_of(st.just(ORIGIN), st.binary(max_size=40))),
        second=draw(st.one_of(st.just(int(time())), st.integers(0, 2**32 - 1))),
        number=draw(st.integers(0, 2**64 - 1)),
        index=draw(st.one_of(st.integers(0, 2), st.integers(0, 255))),
        probabilities=probabilities,
    )


@given(st.one_of(st.binary(min_size=22, max_size=120), nearly_contents()), st.sampled_from([0, 1, "disease"]))
@example(content_of(), 1)
def test_whatever_is_signed_is_rejected_or_finite(
    keys: Keys, declaration: Declaration, content: bytes, reported: object
) -> None:
    with suppress(ValidationError):
        predicted = read_id(sign(content), keys, days=90)
        outcome = to_outcome(predicted, declaration, reported)
        assert 0 <= outcome.score <= 1
        assert 0 <= outcome.squared_error <= 1
        assert {outcome.predicted, outcome.outcome} <= set(declaration.labels)
        assert outcome.predicted_at <= time() + CLOCK_SKEW_SECONDS
        assert len(outcome.number) == 24
        assert len(outcome.version) <= 63
        assert len(outcome.origin or "") <= 64


def test_more_classes_than_an_id_holds_stop_startup(keys: Keys, heart: ServedModel) -> None:
    classes = tuple(ClassDeclaration(label=f"class_{number}", prediction=number) for number in range(256))
    many = copy(heart)
    many.declaration = heart.declaration.model_copy(update={"classes": classes})
    with pytest.raises(SettingsError, match="has 256 classes, and ids hold 255 at most"):
        id_writer(keys, many)
