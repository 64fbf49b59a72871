"""Models that were trained elsewhere answer with their maker's probabilities, or a sentence says why not."""

import importlib
import json
import pickle
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime import InferenceSession
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from bundle.declaration import load_declaration
from bundle.encoding import Encoder
from bundle.errors import BundleError
from bundle.manifest import load_manifest, read_files, sealed, sha256
from bundle.runtime import Session
from tests.harness import Server
from tests.mlflow import Answer, RawServer, answered, has_alias
from training.export import ParityError
from training.frames import rows_of
from training.importing import export, import_file, main
from training.table import DataError

NUMBERS = ["age", "amount"]
TEXTS = ["job", "home type"]
FEATURES = [*NUMBERS, *TEXTS]
RUN = 32 * "a"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """300 rows: missing numbers and strings, a column with a blank in its name, and the class as a string."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "age": random.integers(18, 80, 300),
            "amount": random.normal(1000, 300, 300).round(2),
            "job": random.choice(["clerk", "farmer", "nurse"], 300),
            "home type": random.choice(["flat", "house, own"], 300),
        }
    )
    rows.loc[::5, "amount"] = np.nan
    rows.loc[::7, "job"] = np.nan
    risk = rows.age + 20 * (rows.job == "nurse") + random.normal(0, 15, 300)
    rows["default"] = np.where(risk > 55, "yes", "no")
    return rows


def pipeline(
    estimator: Any = None, texts: Any = None, numbers: Any = None, frame: pd.DataFrame | None = None
) -> Pipeline:
    """Return a pipeline as people write it; fitted if there is a frame."""
    encoded = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [
            (
                "numbers",
                numbers or make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                NUMBERS,
            ),
            ("texts", texts or encoded, TEXTS),
        ]
    )
    last = LogisticRegression(max_iter=1000) if estimator is None else estimator
    made = Pipeline([("columns", columns), ("estimator", last)])
    return made if frame is None else made.fit(frame[FEATURES], frame["default"])


def quiet(_: str) -> None:
    pass


def served(folder: Path, frame: pd.DataFrame, version: str = "v1") -> NDArray[np.float32]:
    """Return what the bundle's ONNX model says of the rows of a frame, as clients would send them."""
    declaration = load_declaration(folder)
    files = read_files(folder / version, load_manifest(folder / version, declaration))
    return Session(files["model.onnx"]).run(Encoder(declaration).encode(rows_of(declaration, frame)))


def check_served(folder: Path, frame: pd.DataFrame, expected: Any) -> None:
    answers = served(folder, frame)
    assert answers.shape == np.shape(expected)
    assert np.abs(answers - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("estimator", "texts", "numbers"),
    [
        (None, None, None),
        (RandomForestClassifier(20, random_state=0), None, None),
        (GradientBoostingClassifier(n_estimators=20, random_state=0), None, MinMaxScaler()),
        (
            GradientBoostingClassifier(n_estimators=20),
            OneHotEncoder(drop="if_binary"),
            SimpleImputer(),
        ),  # NaN is a category of its own
        (None, OneHotEncoder(min_frequency=100, handle_unknown="infrequent_if_exist"), None),
        (
            RandomForestClassifier(20, random_state=0),
            OrdinalEncoder(encoded_missing_value=-1),
            SimpleImputer(),
        ),
        (None, TargetEncoder(), None),
        (None, make_pipeline(SimpleImputer(fill_value="?", strategy="constant"), OneHotEncoder()), None),
    ],
)
def test_a_pipeline_on_a_frame_answers_as_its_maker_does(
    tmp_path: Path, frame: pd.DataFrame, estimator: Any, texts: Any, numbers: Any
) -> None:
    if isinstance(numbers, MinMaxScaler):
        frame = frame.assign(amount=frame.amount.fillna(0))
    made = pipeline(estimator, texts, numbers, frame)
    export(made, frame, "default", tmp_path / "credit", say=quiet)
    assert frame.job.isna().sum() > 20
    check_served(tmp_path / "credit", frame, made.predict_proba(frame[FEATURES]))


def write_joblib(made: Pipeline, folder: Path) -> tuple[Path, list[str]]:
    joblib.dump(made, folder / "made.joblib")
    return folder / "made.joblib", ["--trust", "yes"]


def write_skops(made: Pipeline, folder: Path) -> tuple[Path, list[str]]:
    skops.io.dump(made, folder / "made.skops")
    return folder / "made.skops", []


def write_mlflow(made: Pipeline, folder: Path) -> tuple[Path, list[str]]:
    """Write what mlflow.sklearn.save_model writes, as far as it is read."""
    saved = folder / "saved"
    saved.mkdir()
    (saved / "model.skops").write_bytes(skops.io.dumps(made))
    lines = [
        "flavors:",
        "  sklearn:",
        "    code: null",
        "    pickled_model: model.skops",
        "    sklearn_version: 1",
    ]
    (saved / "MLmodel").write_text("\n".join(lines), encoding="utf-8")
    return saved, []


@pytest.mark.parametrize("kind", ["parquet", "csv.gz"])
def test_rows_are_given_as_parquet_or_compressed(tmp_path: Path, frame: pd.DataFrame, kind: str) -> None:
    made = pipeline(frame=frame)
    file, _ = write_joblib(made, tmp_path)
    data = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        frame.to_parquet(data)
    else:
        frame.to_csv(data, index=False)
    for separator in (",", ";"):  # of CSV
        manifest = import_file(tmp_path / "credit", file, data, quiet, target="default", trust=True)
        assert manifest.data.sha256 == sha256(data.read_bytes()), separator
        check_served(tmp_path / "credit", frame, made.predict_proba(frame[FEATURES]))
        if kind == "parquet":
            with (tmp_path / "credit" / "model.toml").open("a", encoding="utf-8") as toml:
                toml.write('[table]\nseparator = ";"\n' * (separator == ","))


def by_column(made: Pipeline) -> bytes:
    """Return what skl2onnx writes by default: an input for each column, strings as strings, and ZipMap."""
    types = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    types += [(name, StringTensorType([None, 1])) for name in TEXTS]
    return bytes(to_onnx(made, initial_types=types).SerializeToString())


def write_onnx(made: Pipeline, folder: Path) -> tuple[Path, list[str]]:
    (folder / "made.onnx").write_bytes(by_column(made))
    return folder / "made.onnx", []


@pytest.mark.parametrize("write", [write_joblib, write_skops, write_mlflow])
def test_a_file_answers_as_its_maker_does(
    tmp_path: Path,
    frame: pd.DataFrame,
    write: Callable[[Pipeline, Path], tuple[Path, list[str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = pipeline(RandomForestClassifier(20, random_state=0), frame=frame)
    file, trust = write(made, tmp_path)
    said, code = run(tmp_path, frame, file, capsys, *trust)
    assert code == 0, said
    check_served(tmp_path / "credit", frame, made.predict_proba(frame[FEATURES]))
    card = (tmp_path / "credit" / "CARD.md").read_text(encoding="utf-8")
    assert f"Imported from {file.name if file.is_file() else 'model.skops'}, not trained here." in card
    assert "Metrics of 300 labelled rows given with it; whether the model saw them in training is not" in card
    assert "make import MODEL=credit" in card


def run(
    folder: Path, frame: pd.DataFrame, file: Path | str, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[str, int]:
    """Run the command on labelled rows, and return what it says of a failure, and its exit code."""
    frame.to_csv(folder / "rows.csv", index=False)
    named = ["--models-dir", str(folder), "--model", "credit", "--file", str(file)]
    code = main([*named, "--data", str(folder / "rows.csv"), "--target", "default", *options])
    said = capsys.readouterr().err
    assert said.count("\n") == (code != 0)
    return said, code


def test_an_onnx_file_with_an_input_for_each_column_answers_as_it_does_itself(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = make_pipeline(SimpleImputer(missing_values="", strategy="most_frequent"), OneHotEncoder())
    spelled = frame.fillna({"job": ""})  # a tensor of strings has no other missing value
    made = pipeline(texts=texts, frame=spelled)
    (tmp_path / "made.onnx").write_bytes(by_column(made))
    session = InferenceSession(by_column(made))
    assert [value.type for value in session.get_inputs()] == 2 * ["tensor(float)"] + 2 * ["tensor(string)"]
    fed = {name: spelled[[name]].to_numpy(np.float32) for name in NUMBERS}
    fed |= {name: spelled[[name]].to_numpy(object) for name in TEXTS}
    names = {value.name.replace("_", " "): value.name for value in session.get_inputs()}
    rows = session.run(["output_probability"], {names[name]: values for name, values in fed.items()})[0]
    assert isinstance(rows, list)  # of maps: ZipMap
    said, code = run(tmp_path, frame, tmp_path / "made.onnx", capsys)
    assert code == 0, said
    check_served(tmp_path / "credit", frame, [[row["no"], row["yes"]] for row in rows])
    assert np.abs(made.predict_proba(spelled[FEATURES]) - served(tmp_path / "credit", frame)).max() < 1e-5


def test_an_onnx_file_with_a_matrix_answers_as_it_does_itself(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = frame[["age", "default"]].assign(amount=frame.amount.fillna(0))
    matrix = rows[["age", "amount"]].to_numpy(np.float32)
    made = make_pipeline(StandardScaler(), LogisticRegression()).fit(matrix, rows["default"])
    options = {"zipmap": False}
    content = to_onnx(made, initial_types=[("x", FloatTensorType([None, 2]))], options=options)
    (tmp_path / "made.onnx").write_bytes(content.SerializeToString())
    said, code = run(tmp_path, rows[["age", "amount", "default"]], tmp_path / "made.onnx", capsys)
    assert code == 0, said
    check_served(tmp_path / "credit", rows, made.predict_proba(matrix))


def test_a_model_that_overflows_at_an_accepted_value_is_not_written(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client that sent the value would make it unavailable to all."""
    rows = frame[["age", "default"]].assign(amount=frame.amount.fillna(0) / 1000)
    matrix = rows[["age", "amount"]].to_numpy(np.float32)
    scaled = make_pipeline(StandardScaler(), PolynomialFeatures(4), LogisticRegression(max_iter=1000))
    content = to_onnx(
        scaled.fit(matrix, rows["default"]),
        initial_types=[("x", FloatTensorType([None, 2]))],
        options={"zipmap": False},
    )
    (tmp_path / "made.onnx").write_bytes(content.SerializeToString())
    said, code = run(tmp_path, rows[["age", "amount", "default"]], tmp_path / "made.onnx", capsys)
    assert code == 1
    assert "the exported model gives no number where amount is -1e+15: declare its range" in said
    assert not (tmp_path / "credit").exists()


def test_classes_are_served_in_declared_order(tmp_path: Path, frame: pd.DataFrame) -> None:
    """The draft puts `t` last, the positive class by its value; the maker's order is that of the alphabet."""
    renamed = frame.assign(default=frame.default.map({"yes": "t", "no": "z"}))
    made = pipeline(frame=renamed)
    manifest = export(made, renamed, "default", tmp_path / "credit", say=quiet)
    assert repr(manifest).startswith("<credit v1, LogisticRegression, sha256 ")  # as a notebook shows it
    assert (list(made.classes_), manifest.classes) == (["t", "z"], ["z", "t"])
    check_served(tmp_path / "credit", renamed, made.predict_proba(renamed[FEATURES])[:, ::-1])
    assert "additive.json" in manifest.files


def test_a_search_and_a_pipeline_on_an_array_are_imported(tmp_path: Path, frame: pd.DataFrame) -> None:
    rows = frame[["age", "amount", "default"]].fillna(0)
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=3)
    search.fit(rows[["age", "amount"]].to_numpy(), rows["default"])
    export(search, rows, "default", tmp_path / "credit", say=quiet)
    check_served(tmp_path / "credit", rows, search.predict_proba(rows[["age", "amount"]].to_numpy()))


@pytest.mark.parametrize("way", ["names", "places", "function"])
def test_columns_that_a_pipeline_drops_are_no_features(tmp_path: Path, frame: pd.DataFrame, way: str) -> None:
    rows = frame.fillna({"amount": 0.0, "job": "none"})
    rows.insert(0, "Client No.", [f"C-{number:05}" for number in range(len(rows))])
    rows.insert(3, "note", np.arange(len(rows)) % 7)
    columns: dict[str, tuple[Any, Any, Any]] = {
        "names": (["home type", "job"], ["amount", "age"], ["Client No.", "note"]),
        "places": ([5, 4], slice(1, 3), [0, 3]),
        "function": (
            make_column_selector("^job$"),
            make_column_selector("^age$"),
            make_column_selector("^Client No.$"),
        ),
    }
    texts, numbers, dropped = columns[way]
    transformer = ColumnTransformer(
        [
            ("none", "drop", dropped),
            ("texts", OneHotEncoder(), texts),
            ("numbers", StandardScaler(), numbers),
        ],
        remainder="drop" if way == "function" else "passthrough",
    )
    made = make_pipeline(transformer, LogisticRegression(max_iter=1000))
    made.fit(rows.drop(columns="default"), rows["default"])
    said: list[str] = []
    export(made, rows, "default", tmp_path / "credit", say=said.append)
    read = {"age", "job"} if way == "function" else {"age", "amount", "job", "home type"}
    assert {feature.column for feature in load_declaration(tmp_path / "credit").features} == read
    assert [line for line in said if "Client No." in line and "no features" in line]
    check_served(tmp_path / "credit", rows, made.predict_proba(rows.drop(columns="default")))
    file, _ = write_joblib(made, tmp_path)
    rows[["default", *read]].to_csv(tmp_path / "read.csv", index=False)
    import_file(tmp_path / "again", file, tmp_path / "read.csv", quiet, target="default", trust=True)


def test_what_accuracy_is_worth_and_what_to_do_next_is_said(tmp_path: Path, frame: pd.DataFrame) -> None:
    rare = frame.assign(default=np.where(frame.index % 20 == 3, "yes", "no"))
    made = pipeline(frame=rare)
    said: dict[str, list[str]] = {"export": [], "import": []}
    export(made, rare, "default", tmp_path / "credit", say=said["export"].append)
    file, _ = write_joblib(made, tmp_path)
    rare.to_csv(tmp_path / "rows.csv", index=False)
    data, say = tmp_path / "rows.csv", said["import"].append
    import_file(tmp_path / "again", file, data, say, target="default", trust=True)
    for lines in said.values():
        place = lines.index("  accuracy 0.9500 is what always answering 'no_default' gives")
        assert lines[place + 1].startswith("  only 5.0% of rows are 'default': accuracy says little")
    assert said["export"][-1].endswith(
        "write what is 'Not stated yet', and call export() again for its card."
    )
    assert said["import"][-1].endswith("write what is 'Not stated yet', and import again for its card.")


@pytest.mark.filterwarnings("ignore:Features .* are constant")
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
@pytest.mark.parametrize(
    ("selector", "others"),
    [
        (SelectKBest(k=2), [StandardScaler()]),
        (SelectFromModel(RandomForestClassifier(20, random_state=0), threshold="mean"), []),
        (VarianceThreshold(), [PolynomialFeatures(2), StandardScaler()]),
        (RFE(LogisticRegression(), n_features_to_select=1), []),
    ],
)
def test_columns_that_a_selector_leaves_out_are_no_features(
    tmp_path: Path, frame: pd.DataFrame, selector: Any, others: list[Any]
) -> None:
    random = np.random.default_rng(1)
    rows = frame[["amount", "age", "default"]].fillna(0)
    rows.insert(0, "branch", np.arange(len(rows)) % 7)
    rows.insert(2, "constant", 1.0)
    rows["other"] = random.normal(0, 1e-3, len(rows))
    made = make_pipeline(selector, *others, LogisticRegression(max_iter=5000))
    made.fit(rows.drop(columns="default"), rows["default"])
    kept = set(made[0].get_feature_names_out())
    assert "constant" not in kept
    export(made, rows, "default", tmp_path / "credit", say=quiet)
    assert {feature.column for feature in load_declaration(tmp_path / "credit").features} == kept
    check_served(tmp_path / "credit", rows, made.predict_proba(rows.drop(columns="default")))
    file, _ = write_joblib(made, tmp_path)
    rows[["default", *kept]].to_csv(tmp_path / "read.csv", index=False)
    import_file(tmp_path / "again", file, tmp_path / "read.csv", quiet, target="default", trust=True)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> tuple[Path, Pipeline]:
    """A model with two versions: v1 served from ONNX, v2 additive."""
    folder = tmp_path_factory.mktemp("models") / "credit"
    made = pipeline(RandomForestClassifier(20, random_state=0), frame=frame)
    export(made, frame, "default", folder, say=quiet)
    export(pipeline(frame=frame), frame, "default", folder, version="v2", say=quiet)
    return folder, made


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_server_answers_as_the_maker_does(
    imported: tuple[Path, Pipeline], frame: pd.DataFrame, version: str
) -> None:
    folder, made = imported
    made = made if version == "v1" else pipeline(frame=frame)
    rows = rows_of(load_declaration(folder), frame)
    settings = {"MODELS_DIR": str(folder.parent), "MODEL": "credit", "MODEL_VERSION": version}
    server = Server(settings).wait_until_ready()
    try:
        answer = server.post("/predict/batch", {"instances": rows})
        assert answer.status_code == 200, answer.text
        probabilities = [row["probability"] for row in answer.json()["predictions"]]
    finally:
        server.stop()
    assert any(None in row.values() for row in rows)
    assert np.abs(probabilities - made.predict_proba(frame[FEATURES])[:, 1]).max() < 1e-5


def test_versions_are_declared_and_those_trained_here_stay(
    imported: tuple[Path, Pipeline], frame: pd.DataFrame, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(imported[0], tmp_path / "credit"))
    declaration = load_declaration(folder)
    assert {name: declared.estimator for name, declared in declaration.versions.items()} == {
        "v1": "random_forest_classifier",
        "v2": "logistic_regression",
    }
    before = (folder / "v1" / "bundle.json").read_bytes()
    export(imported[1], frame, "default", folder, say=quiet)
    assert (folder / "v1" / "bundle.json").read_bytes() == before
    with pytest.raises(DataError, match="'three' is no version"):
        export(imported[1], frame, "default", folder, version="three", say=quiet)
    manifest = json.loads(before)
    del manifest["imported"]  # as one that was trained here
    (folder / "v1" / "bundle.json").write_text(json.dumps(sealed(manifest)), encoding="utf-8")
    with pytest.raises(DataError, match="was trained here, and stays as it is"):
        export(imported[1], frame, "default", folder, say=quiet)


def test_versions_in_one_line_are_declared_by_hand(
    imported: tuple[Path, Pipeline], frame: pd.DataFrame, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(imported[0], tmp_path / "credit"))
    toml = (folder / "model.toml").read_text(encoding="utf-8")
    for name, estimator in (("v1", "random_forest_classifier"), ("v2", "logistic_regression")):
        toml = toml.replace(f'\n[versions.{name}]\nestimator = "{estimator}"\n', "")
    versions = 'versions = { v1 = { estimator = "a" }, v2 = { estimator = "b" } }'
    (folder / "model.toml").write_text(f"{versions}\n{toml}", encoding="utf-8")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=r'by hand: v3 = \{ estimator = "random_forest_classifier" \}'):
        export(imported[1], frame, "default", folder, version="v3", say=quiet)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_nothing_is_written_where_another_version_keeps_the_card_from_being_written(
    imported: tuple[Path, Pipeline], frame: pd.DataFrame, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(imported[0], tmp_path / "credit"))
    (folder / "v2" / "bundle.json").write_text("{}", encoding="utf-8")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(BundleError, match="v2"):
        export(imported[1], frame, "default", folder, version="v3", say=quiet)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


class Doubling(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer of somebody's own; pickles and skops name it, ONNX cannot."""

    def fit(self, X: Any, y: Any = None) -> "Doubling":  # noqa: ARG002, N803
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        return 2 * X


class Marking:
    """Marks that it was opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_no_pickle_is_opened_unless_the_user_trusts_it(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    file, mark = tmp_path / "made.pkl", tmp_path / "opened"
    file.write_bytes(pickle.dumps(Marking(mark)))
    said, code = run(tmp_path, frame, file, capsys)
    assert (code, mark.exists()) == (1, False)
    assert "made.pkl is a pickle, which runs code of its maker when it is loaded" in said
    assert "TRUST=yes" in said
    said, code = run(tmp_path, frame, file, capsys, "--trust", "yes")
    assert (code, mark.exists()) == (1, True)
    assert "give a fitted classifier" in said


def test_a_skops_file_with_unknown_types_names_them_and_needs_trust(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    skops.io.dump(pipeline(numbers=Doubling(), frame=frame.fillna({"amount": 0})), tmp_path / "made.skops")
    said, code = run(tmp_path, frame, tmp_path / "made.skops", capsys)
    assert code == 1
    assert f"names types that are not scikit-learn's: {__name__}.Doubling" in said
    assert "numpy" not in said
    function = FunctionTransformer(np.loadtxt)  # a function could do anything, whoever wrote it
    skops.io.dump(make_pipeline(function, LogisticRegression()), tmp_path / "made.skops")
    said, code = run(tmp_path, frame, tmp_path / "made.skops", capsys)
    assert code == 1
    assert "names types that are not scikit-learn's: numpy.loadtxt" in said


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda _: pipeline(), "Pipeline is not fitted"),
        (lambda frame: pipeline(LinearSVC(), frame=frame), "Pipeline has no predict_proba"),
        (
            lambda frame: pipeline(LinearRegression()).fit(frame[FEATURES], frame["age"]),
            "predicts numbers: only classifiers can be served so far",
        ),
        (lambda _: {"model": 1}, "a dict: give a fitted classifier or a pipeline"),
        (
            lambda frame: CalibratedClassifierCV(pipeline(), cv=2).fit(frame[FEATURES], frame["default"]),
            "holds a whole pipeline, which cannot be exported: make it the pipeline's last step",
        ),
        (
            lambda frame: pipeline().fit(frame[FEATURES], frame["default"].str.upper()),
            "has the classes NO, YES, and the column 'default' of the data no, yes: name them alike",
        ),
        (
            lambda frame: pipeline(numbers=IterativeImputer(max_iter=50, tol=1), frame=frame),
            "'IterativeImputer' cannot be exported to ONNX: fill missing values with a SimpleImputer or a",
        ),
        (
            lambda frame: pipeline(numbers=OneHotEncoder(handle_unknown="ignore"), frame=frame),
            "'OneHotEncoder' reads the numbers of 'amount' with missing ones among them, which cannot be",
        ),
        (
            lambda frame: LogisticRegression().fit(frame[["age"]].to_numpy(), frame["default"]),
            "was fitted on 1 columns without names, and the table has 4 beside the class",
        ),
        (
            lambda frame: pipeline(numbers=FunctionTransformer(np.nan_to_num), frame=frame),
            "'FunctionTransformer' of 'nan_to_num' cannot be exported to ONNX: take one of numpy's",
        ),
        (
            lambda frame: pipeline(texts=OneHotEncoder()).fit(
                frame[FEATURES].dropna(), frame["default"][frame[FEATURES].notna().all(axis=1)]
            ),
            "Found unknown categories [nan] in column 0 during transform; correct the declared range",
        ),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    tmp_path: Path, frame: pd.DataFrame, made: Callable[[pd.DataFrame], Any], sentence: str
) -> None:
    with pytest.raises((DataError, ParityError)) as raised:
        export(made(frame), frame, "default", tmp_path / "credit", say=quiet)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


SCALED_NUMBERS = ["age", "amount", "rate"]


@pytest.fixture(scope="module")
def numbers() -> pd.DataFrame:
    """600 rows of numbers that float32 rounds, and the class as a string."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(1000, 300, (600, 3)).round(2), columns=SCALED_NUMBERS)
    return rows.assign(default=np.where(rows.age + random.normal(0, 150, 600) > 1000, "yes", "no"))


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(20, random_state=0),
        CalibratedClassifierCV(RandomForestClassifier(20, random_state=0), cv=3),
        StackingClassifier([("trees", RandomForestClassifier(20, random_state=0))], cv=3),
    ],
)
def test_trees_behind_scaled_numbers_answer_as_their_maker_does(
    tmp_path: Path, numbers: pd.DataFrame, estimator: Any
) -> None:
    """The scaler of a pipeline without ColumnTransformer divides as exactly as it did for its maker."""
    made = make_pipeline(StandardScaler(), PCA(2), estimator)
    made.fit(numbers[SCALED_NUMBERS], numbers["default"])
    export(made, numbers, "default", tmp_path / "credit", say=quiet)
    check_served(tmp_path / "credit", numbers, made.predict_proba(numbers[SCALED_NUMBERS]))


def test_splits_half_way_between_decimals_answer_as_their_maker_does(tmp_path: Path) -> None:
    """A split between 2.6 and 2.7 is at 2.65, which has one place more than the column."""
    random = np.random.default_rng(7)
    rows = pd.DataFrame(random.normal(1000, 300, (600, 3)), columns=SCALED_NUMBERS)
    rows = (rows / [1, 100, 100]).round({"age": 2, "amount": 1, "rate": 1})
    likely = rows.age + random.normal(0, 150, 600) + 3 * rows.rate * rows.amount
    rows["default"] = np.where(likely > 1300, "yes", "no")
    made = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    made.fit(rows[SCALED_NUMBERS], rows["default"])
    export(made, rows, "default", tmp_path / "credit", say=quiet)
    check_served(tmp_path / "credit", rows, made.predict_proba(rows[SCALED_NUMBERS]))


def test_trees_that_answer_otherwise_are_said_to_need_no_scaler(
    tmp_path: Path, numbers: pd.DataFrame
) -> None:
    """A scaled value has seven digits again, of which float32 lost the last two before."""
    age = 100_000 + numbers.age / 100
    rows = numbers.assign(age=age, default=np.where(age.rank() % 2 > 0, "yes", "no"))
    scaled = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0))
    scaled.fit(rows[SCALED_NUMBERS], rows["default"])
    with pytest.raises(ParityError, match=r"fit them without StandardScaler, which trees do not need$"):
        export(scaled, rows, "default", tmp_path / "credit", say=quiet)


def test_a_model_that_does_not_answer_as_its_maker_is_not_written(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    """float32 has seven digits: the hundredths of 100,000 are lost on the way to the model."""
    large = frame.assign(amount=100_000 + frame.amount.fillna(0) / 100)
    large["default"] = np.where(large.amount > large.amount.median(), "yes", "no")
    made = pipeline(LogisticRegression(C=1e6, max_iter=10_000), frame=large)
    with pytest.raises(ParityError, match="values are served as float32, with seven digits"):
        export(made, large, "default", tmp_path / "credit", say=quiet)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda frame: frame.drop(columns="job"), "the data lack the column 'job': they have age, amount"),
        (lambda frame: frame.drop(columns="default"), "lacks the column 'default': it has age, amount"),
        (lambda frame: frame.head(12), "labelled rows are '"),
        (lambda frame: frame.replace({"default": {"no": "never"}}), "'default' may only hold no, yes"),
    ],
)
def test_rows_that_do_not_fit_are_said_in_a_sentence(
    imported: tuple[Path, Pipeline],
    frame: pd.DataFrame,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    sentence: str,
) -> None:
    with pytest.raises(DataError) as raised:
        export(imported[1], change(frame), "default", imported[0], version="v3", say=quiet)
    assert sentence in str(raised.value)
    assert not (imported[0] / "v3").exists()


class Calling:
    """What calls a function as it is loaded."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.called = (function, arguments)

    def __reduce__(self) -> Any:
        return self.called


def pickled(function: Callable[..., object], *arguments: object) -> bytes:
    return pickle.dumps(Calling(function, *arguments))


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (("made.h5", b""), "made.h5 is of no known type: give .joblib, .pkl, .pickle, .skops or .onnx"),
        (("made.onnx", b"nothing"), "the ONNX model cannot be used: it is no ONNX model"),
        (("made.skops", b"nothing"), "made.skops cannot be opened: File is not a zip file"),
        (("made.joblib", b"nothing"), "made.joblib cannot be opened"),
        (
            ("made.pkl", b"cabsent_package\nThing\n."),
            "install its package into .venv; if it is your own file, name its folder (PYTHONPATH=FOLDER ",
        ),
        (("made.pkl", b"csklearn.absent\nThing\n."), "install the version of sklearn that saved it, or save"),
        (
            ("made.pkl", b"cjson\nThing\n."),
            "needs 'Thing' of the module 'json', which lacks it here: install",
        ),
        (
            ("made.pkl", b"c__main__\nthing\n."),
            "needs 'thing', which its notebook or script defined: call export() of training.importing there,",
        ),
        (("made.pkl", pickled(sys.exit, 0)), "made.pkl cannot be opened: SystemExit: 0"),
        (("made.pkl", pickled(next, iter(()))), "made.pkl cannot be opened: StopIteration"),
        (
            ("made.joblib", pickled(exec, "raise BaseException('boom')")),
            "made.joblib cannot be opened: BaseException: boom",
        ),
        (("absent.onnx", None), "absent.onnx does not exist: FILE names the trained model, from the"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_in_a_sentence(
    tmp_path: Path,
    frame: pd.DataFrame,
    file: tuple[str, bytes | None],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, content = file
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said, code = run(tmp_path, frame, tmp_path / name, capsys, "--trust", "yes")
    assert code == 1
    assert sentence in said


def test_a_pickle_that_is_absent_needs_no_trust_first(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    said, code = run(tmp_path, frame, tmp_path / "absent.joblib", capsys)
    assert code == 1
    assert "absent.joblib does not exist: FILE names the trained model, from the folder you are in" in said


def test_a_function_of_a_module_is_found_in_the_folder_that_is_named(
    tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "of_my_own.py").write_text("def same(rows):\n    return rows\n", encoding="utf-8")
    with monkeypatch.context() as where_it_is:
        where_it_is.syspath_prepend(tmp_path)
        same = importlib.import_module("of_my_own").same
        texts = make_pipeline(FunctionTransformer(same), OneHotEncoder())  # of categories: it becomes a table
        file, trust = write_joblib(pipeline(texts=texts, frame=frame), tmp_path)
        del sys.modules["of_my_own"]
    said, code = run(tmp_path, frame, file, capsys, *trust)
    assert code == 1
    assert "needs the module 'of_my_own': install its package into .venv; if it is your own file" in said
    monkeypatch.syspath_prepend(tmp_path)
    said, code = run(tmp_path, frame, file, capsys, *trust)
    assert code == 0, said


def test_a_file_that_is_not_named_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "credit", "--data", "rows.csv"]) == 1
    assert capsys.readouterr().err == "error: name the trained model (FILE=pipeline.skops)\n"


def operator(domain: str, kind: str = "Odd") -> bytes:
    """Return a model of one operator, from a matrix of two numbers."""
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["probabilities"], domain=domain)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
    )
    operators = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return bytes(helper.make_model(graph, opset_imports=operators, ir_version=8).SerializeToString())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (operator("my.own"), "uses 'Odd' of the domain 'my.own': only operators of the standard"),
        (operator("", "Neg"), "the output 'probabilities' has no probability for each of 2 classes"),
    ],
)
def test_an_onnx_file_that_cannot_be_served_is_said_in_a_sentence(
    tmp_path: Path, frame: pd.DataFrame, content: bytes, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made.onnx").write_bytes(content)
    rows = frame[["age", "amount", "default"]].fillna(0)
    said, code = run(tmp_path, rows, tmp_path / "made.onnx", capsys)
    assert code == 1
    assert sentence in said


def test_another_version_of_scikit_learn_is_said_and_is_on_the_card(
    tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    made = pipeline(frame=frame)
    content = pickle.dumps(made).replace(sklearn.__version__.encode(), b"1.8.9")
    assert len(sklearn.__version__) == len("1.8.9")
    (tmp_path / "made.pkl").write_bytes(content)
    said, code = run(tmp_path, frame, tmp_path / "made.pkl", capsys, "--trust", "yes")
    assert code == 0, said
    card = (tmp_path / "credit" / "CARD.md").read_text(encoding="utf-8")
    assert f"made.pkl, saved by scikit-learn 1.8.9, read by {sklearn.__version__}, not trained here" in card


def mlflow_server(folder: Path) -> RawServer:
    """Return a server that answers as MLflow does for a run and a registered model with these artifacts."""
    artifacts = "/api/2.0/mlflow-artifacts/artifacts/0/artifacts/"
    place = "mlflow-artifacts:/0/artifacts"

    def answer(path: str) -> Answer:
        if path == "/api/2.0/mlflow/model-versions/get-download-uri?name=Credit_Risk&version=2":
            return answered({"artifact_uri": f"{place}/{folder.name}"})
        if path == "/api/2.0/mlflow/registered-models/alias?name=Credit_Risk&alias=champion":
            return has_alias("2")
        if path == f"/api/2.0/mlflow/runs/get?run_id={RUN}":
            return answered({"run": {"info": {"artifact_uri": place}}})
        if path.startswith(artifacts) and (file := folder.parent / path.removeprefix(artifacts)).is_file():
            return answered(file.read_bytes())
        return answered({"error_code": "RESOURCE_DOES_NOT_EXIST"}, "404 Not Found")

    return RawServer(answer)


@pytest.mark.parametrize(
    "reference",
    [
        "models:/Credit_Risk/2",
        "models:/Credit_Risk@champion",
        f"runs:/{RUN}/saved",
        f"runs:/{RUN}/saved/model.skops",
    ],
)
def test_a_model_of_an_mlflow_server_answers_as_its_maker_does(
    tmp_path: Path,
    frame: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reference: str,
) -> None:
    made = pipeline(frame=frame)
    folder, _ = write_mlflow(made, tmp_path)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with mlflow_server(folder) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        with redirect_stdout(StringIO()) as output:
            said, code = run(tmp_path, frame, reference, capsys)
        assert code == 0, said
        resolved = f"{reference} is models:/Credit_Risk/2\n" in output.getvalue()
        assert resolved == ("@" in reference)
        with pytest.raises(SystemExit):
            run(tmp_path, frame, f"runs:/{RUN}/absent", capsys)
        assert f"has no runs:/{RUN}/absent" in capsys.readouterr().err
    check_served(tmp_path / "credit", frame, made.predict_proba(frame[FEATURES]))
    manifest = load_manifest(tmp_path / "credit" / "v1", load_declaration(tmp_path / "credit"))
    assert manifest.imported is not None
    assert manifest.imported.source == "model.skops"
