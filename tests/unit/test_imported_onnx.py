"""An ONNX file of another maker is served with its own meaning of classes, categories and probabilities."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bundle.declaration import load_declaration
from bundle.encoding import Encoder
from bundle.manifest import load_manifest, read_files
from bundle.runtime import Session
from training.importing import main

COLUMNS = ["a", "b", "c"]
Node = tuple[str, Sequence[str], Sequence[str], Mapping[str, Any]]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """400 rows, of which fewer are `bad`: the draft declares it last, and the alphabet first."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(400, 3)).round(3), columns=COLUMNS)
    rows["y"] = np.where(rows.a + random.normal(0, 0.5, 400) > 0.5, "bad", "good")
    return rows


def run(
    folder: Path, frame: pd.DataFrame, content: bytes, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[str, int]:
    """Import a file, and return what is said of a failure, and the exit code."""
    (folder / "made.onnx").write_bytes(content)
    frame.to_csv(folder / "rows.csv", index=False)
    named = ["--models-dir", str(folder), "--model", "credit", "--file", str(folder / "made.onnx")]
    code = main([*named, "--data", str(folder / "rows.csv"), "--target", "y", *options])
    said = capsys.readouterr().err
    assert said.count("\n") == (code != 0)
    assert (folder / "credit").exists() == (code == 0)
    return said, code


def served(folder: Path, rows: list[dict[str, Any]]) -> NDArray[np.float32]:
    declaration = load_declaration(folder / "credit")
    files = read_files(folder / "credit" / "v1", load_manifest(folder / "credit" / "v1", declaration))
    return Session(files["model.onnx"]).run(Encoder(declaration).encode(rows))


def matrix(frame: pd.DataFrame) -> NDArray[np.float32]:
    return np.asarray(frame[COLUMNS], dtype=np.float32)


def without_zipmap(made: Any, width: int = 3) -> ModelProto:
    types, options = [("x", FloatTensorType([None, width]))], {"zipmap": False}
    model: ModelProto = to_onnx(made, initial_types=types, options=options, target_opset={"": 18})
    return model


@pytest.mark.parametrize(
    "made",
    [
        MLPClassifier((4,), max_iter=2000, random_state=0),
        GaussianNB(),
        KNeighborsClassifier(),
        BaggingClassifier(n_estimators=3, random_state=0),
        LogisticRegression(),
    ],
)
def test_classes_keep_their_order_without_zipmap(
    tmp_path: Path, frame: pd.DataFrame, made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    made.fit(matrix(frame), frame.y)
    said, code = run(tmp_path, frame, without_zipmap(made).SerializeToString(), capsys)
    assert code == 0, said
    assert load_declaration(tmp_path / "credit").labels == ["good", "bad"]
    assert list(made.classes_) == ["bad", "good"]
    answers = served(tmp_path, frame[COLUMNS].to_dict("records"))
    assert np.abs(answers - made.predict_proba(matrix(frame))[:, ::-1]).max() < 1e-5


def softmax(
    *,
    labels: Sequence[str] = (),
    weights: Sequence[float] = (-1.5, 1.5),
    first: str = "x",
    nodes: Sequence[Node] = (),
) -> bytes:
    """Return a model whose second column is likelier as `a` rises, and which picks its labels from a list."""
    chain: list[Node] = [
        *nodes,
        ("MatMul", [first, "w"], ["scores"], {}),
        ("Softmax", ["scores"], ["probabilities"], {"axis": 1}),
    ]
    constants = {"w": np.array([[-1.5, 1.5], [0, 0], [0, 0]], np.float32), "axis": np.array(0)}
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])]
    if labels:
        chain.append(("ArgMax", ["probabilities"], ["place"], {"axis": 1, "keepdims": 0}))
        chain.append(("Gather", ["names", "place"], ["label"], {}))
        constants["names"] = np.array(labels, dtype=object)
        outputs.append(helper.make_tensor_value_info("label", TensorProto.STRING, [None]))
    return composed(chain, outputs, constants)


def composed(
    chain: Sequence[Node], outputs: Sequence[Any], constants: Mapping[str, NDArray[Any]], **versions: int
) -> bytes:
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, made, **attributes) for kind, inputs, made, attributes in chain],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [versions.get("rows"), 3])],
        outputs,
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    operators = [helper.make_opsetid("", versions.get("opset", 14))]
    model = helper.make_model(graph, opset_imports=operators, ir_version=versions.get("ir", 8))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("names", [("good", "bad"), ("bad", "good")])
def test_the_labels_of_a_model_prove_its_order(
    tmp_path: Path, frame: pd.DataFrame, names: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said, code = run(tmp_path, frame, softmax(labels=names), capsys)
    assert code == 0, said
    answer = served(tmp_path, [{"a": 2, "b": 0, "c": 0}])[0]
    assert answer[0 if names[1] == "good" else 1] > 0.99


def test_an_order_that_nothing_proves_has_to_be_named(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    said, code = run(tmp_path, frame, softmax(), capsys)
    assert code == 1
    assert "does not name its classes in the order of 'probabilities', and no output of labels proves" in said
    assert "export it with ZipMap, or name the order, such as CLASSES=good,bad" in said
    said, code = run(tmp_path, frame, softmax(), capsys, "--classes", "good,worse")
    assert code == 1
    assert "the model has the classes good, worse, and the column 'y' of the data good, bad" in said
    said, code = run(tmp_path, frame, softmax(), capsys, "--classes", "bad,good")
    assert code == 0, said
    assert served(tmp_path, [{"a": 2, "b": 0, "c": 0}])[0, 0] > 0.99


def test_a_named_order_cannot_contradict_the_model(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    made = LogisticRegression().fit(matrix(frame), frame.y)
    content = without_zipmap(made).SerializeToString()
    said, code = run(tmp_path, frame, content, capsys, "--classes", "good,bad")
    assert code == 1
    assert "the ONNX model names its classes in the order bad, good: leave CLASSES out" in said


MEAN: Node = ("ReduceMean", ["x"], ["mean"], {"axes": [0], "keepdims": 1})
CENTRED: Node = ("Sub", ["x", "mean"], ["centred"], {})
SUMMED: Node = ("CumSum", ["x", "axis"], ["summed"], {})


@pytest.mark.parametrize("chain", [("centred", [MEAN, CENTRED]), ("summed", [SUMMED])])
def test_a_model_whose_answers_depend_on_other_rows_is_not_written(
    tmp_path: Path, frame: pd.DataFrame, chain: tuple[str, list[Node]], capsys: pytest.CaptureFixture[str]
) -> None:
    content = softmax(first=chain[0], nodes=chain[1], labels=["good", "bad"])
    said, code = run(tmp_path, frame, content, capsys)
    assert code == 1
    assert "the ONNX model's answer to a row depends on the other rows of the batch" in said


def regressor(frame: pd.DataFrame) -> bytes:
    model = to_onnx(LinearRegression().fit(matrix(frame), (frame.y == "bad") * 100), matrix(frame)[:1])
    return bytes(model.SerializeToString())


def complements(_: pd.DataFrame) -> bytes:
    """Return a model of two columns that add up to 1, and are scores."""
    chain: list[Node] = [
        ("MatMul", ["x", "w"], ["score"], {}),
        ("Sub", ["one", "score"], ["rest"], {}),
        ("Concat", ["rest", "score"], ["probabilities"], {"axis": 1}),
    ]
    constants = {"w": np.array([[5], [0], [0]], np.float32), "one": np.ones(1, np.float32)}
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])]
    return composed(chain, outputs, constants)


@pytest.mark.parametrize("content", [regressor, complements])
def test_a_score_is_no_probability(
    tmp_path: Path,
    frame: pd.DataFrame,
    content: Callable[[pd.DataFrame], bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    said, code = run(tmp_path, frame, content(frame), capsys, "--classes", "good,bad")
    assert code == 1
    assert "has no probability for each of 2 classes: its values go from -" in said


@pytest.mark.parametrize(
    ("versions", "sentence"),
    [
        ({"rows": 1}, "the ONNX model's input 'x' takes exactly 1 row(s) at once: export it with a first"),
        ({"opset": 99}, "the ONNX model is of operator set 99, and "),
        ({"ir": 99}, "the ONNX model is of IR version 99, and "),
    ],
)
def test_a_model_of_another_form_is_said_in_a_sentence(
    tmp_path: Path,
    frame: pd.DataFrame,
    versions: dict[str, int],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chain: list[Node] = [
        ("MatMul", ["x", "w"], ["scores"], {}),
        ("Softmax", ["scores"], ["probabilities"], {"axis": 1}),
    ]
    constants = {"w": np.zeros((3, 2), np.float32)}
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [versions.get("rows"), 2])]
    said, code = run(tmp_path, frame, composed(chain, outputs, constants, **versions), capsys)
    assert code == 1
    assert sentence in said


def plans(random: np.random.Generator) -> pd.DataFrame:
    """600 rows with a category, one of which is None."""
    rows = pd.DataFrame(
        {"age": random.integers(20, 80, 600), "plan": random.choice(["None", "Basic", "Premium"], 600)}
    )
    rows["y"] = np.where((rows.plan == "Premium") ^ (random.random(600) < 0.2), "yes", "no")
    return rows


def test_words_are_not_fed_to_an_input_of_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the maker knows that m is 0 and f is 1."""
    rows = plans(np.random.default_rng(1))
    rows["sex"] = np.where(rows.age % 2 == 0, "m", "f")
    coded = np.c_[rows.age, rows.sex == "f"].astype(np.float32)
    made = LogisticRegression(max_iter=1000).fit(coded, rows.y)
    content = without_zipmap(made, 2).SerializeToString()
    said, code = run(tmp_path, rows[["age", "sex", "y"]], content, capsys)
    assert code == 1
    assert "reads 'sex' as a number, and the table has words (f, m), whose codes only its maker knows" in said


def test_a_missing_text_is_none_of_the_categories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = plans(np.random.default_rng(1))
    spelled = rows.assign(plan=rows.plan.where(rows.age > 30, "missing"))
    columns = ColumnTransformer(
        [("age", StandardScaler(), ["age"]), ("plan", OneHotEncoder(handle_unknown="ignore"), ["plan"])]
    )
    made = make_pipeline(columns, LogisticRegression()).fit(spelled[["age", "plan"]], spelled.y)
    types = [("age", FloatTensorType([None, 1])), ("plan", StringTensorType([None, 1]))]
    content = to_onnx(made, initial_types=types, options={"zipmap": False}).SerializeToString()
    said, code = run(tmp_path, spelled.replace({"plan": {"missing": ""}}), content, capsys)
    assert code == 0, said
    asked = pd.DataFrame({"age": [40, 40], "plan": ["missing", "None"]})
    answers = served(tmp_path, [{"age": 40, "plan": None}, {"age": 40, "plan": "None"}])
    assert np.abs(answers - made.predict_proba(asked)).max() < 1e-5


def test_inputs_that_the_table_lacks_are_listed(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    made = LogisticRegression().fit(matrix(frame), frame.y)
    types = [(name, FloatTensorType([None, 1])) for name in COLUMNS]
    columns = ColumnTransformer([("all", "passthrough", COLUMNS)]).fit(frame[COLUMNS])
    content = to_onnx(make_pipeline(columns, made), initial_types=types).SerializeToString()
    said, code = run(tmp_path, frame.rename(columns={"b": "x1", "c": "x2"}), content, capsys)
    assert code == 1
    assert "the model reads b, c, which the table lacks: it has a, x1, x2" in said


ENCODER = OneHotEncoder(handle_unknown="ignore")


def test_rare_categories_that_a_file_knows_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(1)
    names = [f"city {i}" for i in range(35)]
    cities = np.concatenate([np.repeat(names[:30], 64), np.repeat(names[30:], 16)])
    rows = pd.DataFrame({"age": random.integers(20, 80, 2000), "city": cities})
    rows["y"] = np.where(np.isin(cities, names[30:]) | (random.random(2000) < 0.3), "yes", "no")
    columns = ColumnTransformer([("n", StandardScaler(), ["age"]), ("c", ENCODER, ["city"])])
    made = make_pipeline(columns, LogisticRegression()).fit(rows[["age", "city"]], rows.y)
    inputs = [("age", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    content = to_onnx(made, initial_types=inputs, target_opset=15).SerializeToString()
    said, code = run(tmp_path, rows, content, capsys)
    assert code == 0, said
    answer = served(tmp_path, rows[["age", "city"]].to_dict("records"))
    assert np.abs(answer - made.predict_proba(rows[["age", "city"]])).max() < 1e-5
    toml = tmp_path / "credit" / "model.toml"
    listed = re.sub(r', "city 3[0-4]" = \d+', "", toml.read_text())
    toml.write_text(listed)
    assert "city 34" not in listed
    named = ["--models-dir", str(tmp_path), "--model", "credit", "--file", str(tmp_path / "made.onnx")]
    assert main([*named, "--data", str(tmp_path / "rows.csv"), "--target", "y", "--version", "v2"]) == 1
    assert "the model tells values of 'city' apart that model.toml does not list" in capsys.readouterr().err
