"""What `make check` says, and the one sentence for each failure of a recipe, data or a declaration."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bundle.declaration import Declaration, load_declaration
from bundle.encoding import Encoder
from bundle.errors import PATTERNS, BundleError
from bundle.manifest import load_manifest
from tests.harness import HEART, PROJECT, run
from training.__main__ import main as train
from training.check import check, served
from training.check import main as check_main
from training.cli import exit_code
from training.data import TrainingData, load_recipe, load_training_data
from training.preparation import MOST_ROWS, few_rows
from training.read_rows import ReadRows
from training.table import DataError

IRIS = HEART.parent / "iris"

IMPORTS = """import sys
import time
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression, LogisticRegression as Logistic
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from training.table import read_table
"""
LOAD = """def load_data(path, declaration):
    return read_table(path, declaration)
"""
BUILD = """def build_pipeline(estimator, declaration):
    return make_pipeline(StandardScaler(), LogisticRegression())
"""
FIRST = IMPORTS.count("\n") + 1
"""The first line after the imports."""

STUB = """class Stub(ClassifierMixin, BaseEstimator):
    def fit(self, rows, labels):
        self.classes_ = np.unique(labels)
        return self
    def predict_proba(self, rows):
        {answer}
def build_pipeline(estimator, declaration):
    return make_pipeline(Stub())
"""


def copied(model: Path, folder: Path) -> Path:
    ignored = shutil.ignore_patterns("v*", "CARD.md", "__pycache__")
    return Path(shutil.copytree(model, folder / model.name, ignore=ignored))


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    return copied(IRIS, tmp_path)


def returning(expression: str) -> str:
    return f"def build_pipeline(estimator, declaration):\n    return {expression}\n"


def loading(statement: str) -> str:
    return f"def load_data(path, declaration):\n    {statement}\n"


def answering(answer: str) -> str:
    return LOAD + STUB.format(answer=answer)


RECIPES = {
    "no functions": ("", "lacks the function load_data(path, declaration); it defines none"),
    "misspelt": (
        LOAD + BUILD.replace("pipeline(", "pipline("),
        "lacks the function build_pipeline(estimator, declaration); it defines load_data, build_pipline",
    ),
    "no function": (LOAD + "build_pipeline = 1", "lacks the function build_pipeline"),
    "syntax": ("\ndef load_data(:", f"recipe.py, line {FIRST + 1}: SyntaxError: invalid syntax"),
    "import": ("import nowhere", f"recipe.py, line {FIRST}: ModuleNotFoundError: No module named 'nowhere'"),
    "exit": ("sys.exit('bye')", f"recipe.py, line {FIRST}: SystemExit: bye"),
    "file": ("open('nowhere')", f"recipe.py, line {FIRST}: FileNotFoundError: [Errno 2] No such file"),
    "raises while it loads": (
        loading("return [][0]") + BUILD,
        f"recipe.py, line {FIRST + 1}: IndexError: list index out of range",
    ),
    "raises while it builds": (
        LOAD + returning("1 / 0"),
        f"recipe.py, line {FIRST + 3}: ZeroDivisionError: division by zero",
    ),
    "any exception": (
        "raise BaseException('boom')",
        f"recipe.py, line {FIRST}: BaseException: boom",
    ),
    "a generator's exit": (loading("raise GeneratorExit") + BUILD, f"line {FIRST + 1}: GeneratorExit"),
    "a cancellation": (
        LOAD + "import asyncio\ndef build_pipeline(*_):\n    raise asyncio.CancelledError",
        f"recipe.py, line {FIRST + 4}: CancelledError",
    ),
    "a group": (
        "raise BaseExceptionGroup('several', [KeyboardInterrupt()])",
        f"recipe.py, line {FIRST}: BaseExceptionGroup: several (1 sub-exception)",
    ),
    "an exit while it is fitted": (
        LOAD + STUB.format(answer="...").replace("self.classes_ = np.unique(labels)", "raise GeneratorExit"),
        f"recipe.py, line {FIRST + 4}: GeneratorExit",
    ),
    "an exception that ends the program when it is shown": (
        "class Hidden(Exception):\n    def __str__(self):\n        sys.exit(3)\nraise Hidden",
        f"recipe.py, line {FIRST + 3}: Hidden",
    ),
    "labels without a length": (
        "class Labels(list):\n    def __iter__(self): 1 / 0\n    __len__ = __iter__\n"
        + loading("return read_table(path, declaration)[0], Labels()")
        + BUILD,
        f"recipe.py, line {FIRST + 1}: ZeroDivisionError: division by zero",
    ),
    "labels that cannot be compared": (
        "class Label(str):\n    def __hash__(self): sys.exit()\n"
        + loading("return [{}], [Label('rose')]")
        + BUILD,
        "recipe.py must return the class of each row by its label",
    ),
    "rows that cannot be read": (
        "class Rows(list):\n    def __iter__(self): sys.exit()\n" + loading("return Rows(), []") + BUILD,
        f"recipe.py, line {FIRST + 1}: SystemExit",
    ),
    "an exception without words": (
        "class Silent(Exception):\n    def __str__(self):\n        raise ValueError\nraise Silent",
        f"recipe.py, line {FIRST + 3}: Silent",
    ),
    "memory": (loading("np.empty(10**16)") + BUILD, f"line {FIRST + 1}: MemoryError: Unable"),
    "too few arguments": (
        LOAD + "def build_pipeline(): ...",
        "recipe.py: TypeError: build_pipeline() takes 0 positional arguments but 2 were given",
    ),
    "estimator": (
        LOAD + returning("{'boosting': 1}[estimator]"),
        "build_pipeline does not know the estimator 'logistic_regression' that model.toml names: add it",
    ),
    "another key": (LOAD + returning("{}['x']"), f"recipe.py, line {FIRST + 3}: KeyError: 'x'"),
    "None": (LOAD + returning("None"), "build_pipeline returns None, not a Pipeline"),
    "no pipeline": (
        LOAD + returning("LogisticRegression()"),
        "build_pipeline returns a LogisticRegression, not a Pipeline: return make_pipeline(...)",
    ),
    "no probabilities": (
        LOAD + returning("make_pipeline(LinearSVC())"),
        "LinearSVC, the pipeline's last step, has no predict_proba: end with a classifier",
    ),
    "no labels": (loading("return read_table(path, declaration)[0]") + BUILD, "returns a list, not two"),
    "rows as an array": (loading("return np.zeros((9, 4)), ['setosa'] * 9") + BUILD, "the rows as a ndarray"),
    "rows as lists": (
        loading("return [[1, 2, 3, 4]], ['setosa']") + BUILD,
        "load_data returns a list as row 0, not a mapping from feature to value",
    ),
    "labels as a generator": (loading("return [{}], (x for x in 'a')") + BUILD, "the labels as a generator"),
    "rows without a feature": (loading("return [{}], ['setosa']") + BUILD, "row 0 of the data: sepal_length"),
    "no text": ("\0", "recipe.py: SyntaxError: source code string cannot contain null bytes"),
    "columns by name": (
        LOAD + returning("make_pipeline(ColumnTransformer([('a', StandardScaler(), ['b'])]), Logistic())"),
        "the pipeline cannot be fitted: ValueError: Specifying the columns using strings is only",
    ),
    "two classes of three": (
        answering("return np.full((len(rows), 2), 0.5)"),
        "the pipeline gives probabilities of shape (150, 2) for 150 rows and 3 classes",
    ),
    "no probability": (answering("return np.full((len(rows), 3), np.nan)"), "missing, negative, or do not"),
    "own class": (
        answering("return rows.nothing"),
        f"recipe.py, line {FIRST + 7}: AttributeError: 'numpy.ndarray' object has no attribute 'nothing'",
    ),
    "no converter": (
        LOAD + returning("make_pipeline(RBFSampler(), LogisticRegression())"),
        "'RBFSampler' cannot be exported to ONNX: there is no converter for it",
    ),
    "no converter of a function": (
        LOAD + returning("make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression())"),
        "'FunctionTransformer' of 'nan_to_num' cannot be exported to ONNX: take one of numpy's",
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_wrong_recipe_gets_a_sentence(iris: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    recipe, sentence = RECIPES[name]
    (iris / "recipe.py").write_text(IMPORTS + recipe, encoding="utf-8")
    for command in (train, check_main):
        code = command(["--models-dir", str(iris.parent), "--model", "iris"])
        said = capfd.readouterr().err
        assert (code, said.count("error: "), "Traceback" in said) == (1, 1, False), said
        assert sentence in said
    assert {path.name for path in iris.iterdir()} - {"__pycache__"} == {
        "DATA.md", "data.csv", "model.toml", "recipe.py",
    }  # fmt: skip


def test_check_says_each_step_and_writes_nothing(tmp_path: Path) -> None:
    folder = copied(HEART, tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)
    result = run(sys.executable, "-m", "training.check", "--models-dir", tmp_path)
    lines = result.stdout.splitlines()
    expected = [
        "model.toml: 13 features; classes no_disease, disease",
        "metrics: 11 names, all of known concepts and dimensions",
        "recipe.py: it is imported",
        "data: 303 rows: 164 no_disease, 139 disease",
        "data: accuracy 0.5413 is what always answering 'no_disease' gives",
        "v1: logistic_regression is fitted to 303 rows",
        "v1: ONNX against scikit-learn: ",
        "v1: the model is additive: it is served from additive.json",
        "a request with the example: 200, 0",
        "heart-disease can be trained: make train MODEL=heart-disease",
    ]
    assert [line.startswith(start) for line, start in zip(lines, expected, strict=True)] == [True] * 10, lines
    assert sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts) == before
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("k. A.", ": it is 'k. A.'"),
        (60 * "x", f": it is '{40 * 'x'}'"),
        ("\x1bred", ": it is '\\x1bred'"),
        ("no. 4711", ""),
        ("250", ""),
    ],
)
def test_a_text_that_cannot_be_read_is_shown_on_the_terminal_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], cell: str, shown: str
) -> None:
    folder = copied(HEART, tmp_path)
    header, first, *others = (folder / "data.csv").read_text(encoding="utf-8").splitlines()
    cells = first.split(",")
    cells[header.split(",").index(load_declaration(folder).feature("age").column)] = cell
    (folder / "data.csv").write_text("\n".join([header, ",".join(cells), *others]), encoding="utf-8")
    options = ["--models-dir", str(tmp_path)]
    wrong = "line 2: the cell of 'age' is not a whole number from 18 to 120 (years){}\n"
    for main in (check_main, train):
        assert main(options) == 1
        assert capfd.readouterr().err.endswith(wrong.format(shown))
    assert exit_code(lambda: check(folder, None, print)) == 1
    assert capfd.readouterr().err.endswith(wrong.format("")), "as make retrain, whose output is a Job's log"


def test_the_rows_of_a_quick_fit_are_said_to_be_a_sample(iris: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.preparation.MOST_ROWS", 60)
    said: list[str] = []
    check(iris, None, said.append)
    (line,) = [line for line in said if "sample" in line]
    assert line.startswith("data: the quick fit takes a sample of ")
    assert line.endswith(" of them; make train takes all")


def test_a_server_that_does_not_start_is_reported(tmp_path: Path) -> None:
    sentence = r"the server does not start: .*nope/model\.toml is missing"
    with pytest.raises(DataError, match=sentence), served(tmp_path, "nope"):
        pass


def test_a_version_that_fails_does_not_stop_the_others(iris: Path, capfd: pytest.CaptureFixture[str]) -> None:
    declared = (iris / "model.toml").read_text(encoding="utf-8")
    for name in ("v2", "v3"):
        declared += f'\n[versions.{name}]\nestimator = "{name}"\n'
    (iris / "model.toml").write_text(declared, encoding="utf-8")
    recipe = """def build_pipeline(estimator, declaration):
    steps = {"v2": [RBFSampler()], "v3": [StandardScaler()]}
    return make_pipeline(*steps.get(estimator, []), LogisticRegression(max_iter=1000))
"""
    (iris / "recipe.py").write_text(IMPORTS + LOAD + recipe, encoding="utf-8")
    arguments = ["--models-dir", str(iris.parent), "--model", "iris"]
    assert train(arguments) == 1
    said = capfd.readouterr().err
    assert said.startswith("error: v2: 'RBFSampler' cannot be exported to ONNX")
    assert said.count("\n") == 1
    assert [name for name in ("v1", "v2", "v3") if (iris / name).exists()] == ["v1", "v3"]
    assert "### v3" in (iris / "CARD.md").read_text(encoding="utf-8")
    assert train([*arguments, "--version", "v3"]) == 0


def without_class(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if "virginica" not in line)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: "".join(text.splitlines(keepends=True)[:6]), "5 rows are 'setosa'"),
        (without_class, "0 rows are 'virginica'"),
    ],
)
def test_too_few_rows_get_a_sentence(
    iris: Path, capfd: pytest.CaptureFixture[str], change: Callable[[str], str], sentence: str
) -> None:
    data = iris / "data.csv"
    data.write_text(change(data.read_text(encoding="utf-8")), encoding="utf-8")
    assert train(["--models-dir", str(iris.parent), "--model", "iris"]) == 1
    assert sentence in capfd.readouterr().err


def test_a_column_without_values_gets_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = copied(HEART, tmp_path)
    header, *lines = (folder / "data.csv").read_text(encoding="utf-8").splitlines()
    column = header.split(",").index(load_declaration(HEART).feature("ca").column)
    rows = [line.split(",") for line in lines]
    emptied = [",".join([*row[:column], "", *row[column + 1 :]]) for row in rows]
    (folder / "data.csv").write_text("\n".join([header, *emptied]), encoding="utf-8")
    assert train(["--models-dir", str(tmp_path)]) == 1
    assert "has no value in any row: fill it in, or remove the feature ca from" in capfd.readouterr().err


def test_numbers_that_float32_cannot_tell_apart_get_a_sentence(
    iris: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    toml = (iris / "model.toml").read_text(encoding="utf-8")
    toml = re.sub(r"(?m)^(range|unit) = .*\n", "", toml)
    (iris / "model.toml").write_text(toml, encoding="utf-8")
    header, *lines = (iris / "data.csv").read_text(encoding="utf-8").splitlines()
    rows = [f"{1_000_000_001 + place % 4},{line.partition(',')[2]}" for place, line in enumerate(lines)]
    (iris / "data.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    for command in (train, check_main):
        assert command(["--models-dir", str(iris.parent), "--model", "iris"]) == 1
        assert capfd.readouterr().err == (
            "error: the column 'sepal_length' has 4 values that float32 cannot tell apart: subtract a "
            "constant from each, or remove the feature sepal_length from model.toml\n"
        )


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("[metrics.requests]", "[metrics.karma]", "metrics.karma is none of requests"),
        ('= "status"', '= "colour"', "has only method, endpoint, status, not 'colour'"),
    ],
)
def test_train_rejects_the_metrics_that_the_server_rejects(
    iris: Path, capfd: pytest.CaptureFixture[str], before: str, after: str, sentence: str
) -> None:
    declared = (iris / "model.toml").read_text(encoding="utf-8")
    assert before in declared
    (iris / "model.toml").write_text(declared.replace(before, after), encoding="utf-8")
    assert train(["--models-dir", str(iris.parent), "--model", "iris"]) == 1
    assert sentence in capfd.readouterr().err


DECLARATIONS = [
    (
        'name = "heart-disease"',
        'name = "Heart"',
        "name: must be lower case letters, digits and hyphens",
    ),
    (
        'name = "age"',
        'name = "age, years"',
        "features.age, years.name: must be letters, digits and underscores",
    ),
    ('name = "age"', "name = 5", "features.0.name: must be text in quotes"),
    ("title", "titel", "title: is missing: add it"),
    (
        "threshold = 0.5",
        'threshold = 0.5\ncolour = "red"',
        "colour: is not known here: remove it",
    ),
    *(
        (
            "threshold = 0.5",
            f'threshold = 0.5\ntable = {{ encoding = "{encoding}" }}',
            f"table: the encoding '{encoding}' is unknown: name one such as utf-8",
        )
        for encoding in (
            *("idna", "punycode", "utf-7", "unicode_escape", "raw_unicode_escape", "undefined"),
            *("rot13", "hex", "zlib", "nothing"),
        )
    ),
    ("threshold = 0.5", "threshold = 150", "threshold: must be less than 1"),
    (
        "threshold = 0.5",
        "threshold = 40",
        "threshold: must be less than 1.0: it is a share, such as 0.4 for 40 %",
    ),
    (
        '{ "mmol/l" = 38.67 }',
        '{ "mg/dl" = 100 }',
        "features.chol: other_units has 'mg/dl', which is the unit itself: remove it there",
    ),
    (
        'default_version = "v1"',
        'default_version = "1"',
        "default_version: must be v and a whole number",
    ),
    (
        'type = "integer"',
        'type = "int"',
        "features.age: must have as its 'type' one of 'number', 'integer'",
    ),
    ('type = "integer"', "", "features.age: needs a 'type'"),
    (
        "prediction = 0",
        "prediction = 0.5",
        "classes.no_disease.prediction: must be a whole number or text in quotes",
    ),
    ("nullable = true", 'nullable = "yes"', "nullable: must be true or false"),
    (
        "codes = { female = 0, male = 1 }",
        "codes = { female = 0 }",
        "features.sex.codes: needs at least 2 of them",
    ),
    ("codes = { female = 0, male = 1 }", 'codes = ["f"]', "features.sex.codes: must be a table"),
    ("range = [18, 120]", "range = 18", "features.age.range: must be a list, such as [1, 2]"),
    ("range = [18, 120]", "range = [18, inf]", "features.age.range.1: must be a finite number"),
]


@pytest.mark.parametrize(("before", "after", "sentence"), DECLARATIONS)
def test_a_wrong_declaration_says_what_is_allowed(
    tmp_path: Path, before: str, after: str, sentence: str
) -> None:
    folder = copied(HEART, tmp_path)
    declared = (folder / "model.toml").read_text(encoding="utf-8")
    assert before in declared
    (folder / "model.toml").write_text(declared.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(BundleError) as failure:
        load_declaration(folder)
    assert f"is not a valid declaration: {sentence}" in str(failure.value).replace("features.ca.", "")


def patterns(schema: object) -> set[str]:
    """Return every pattern in a JSON schema."""
    if isinstance(schema, dict):
        own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
        return own.union(*map(patterns, schema.values()))
    return set().union(*map(patterns, schema)) if isinstance(schema, list) else set()


def test_every_pattern_of_a_declaration_has_words() -> None:
    assert patterns(Declaration.model_json_schema()) == set(PATTERNS)


CLASSES = """from skl2onnx import update_registered_converter
from skl2onnx.algebra.onnx_ops import OnnxMul
class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, rows, labels=None):
        return self
    def transform(self, rows):
        return rows * np.float32(2)
def shape(operator):
    operator.outputs[0].type = operator.inputs[0].type
def convert(scope, operator, container):
    two = np.array([2], dtype=np.float32)
    doubled = OnnxMul(operator.inputs[0], two, output_names=operator.outputs, op_version=18)
    doubled.add_to(scope, container)
update_registered_converter(Doubler, "Doubler", shape, convert)
def build_pipeline(estimator, declaration):
    return make_pipeline(Doubler(), LogisticRegression())
"""


def test_a_recipe_may_define_classes(iris: Path) -> None:
    (iris / "recipe.py").write_text(IMPORTS + LOAD + CLASSES, encoding="utf-8")
    run(sys.executable, "-m", "training", "--models-dir", iris.parent, "--model", "iris")
    load_manifest(iris / "v1", load_declaration(iris))
    program = (
        "import sys, joblib; from pathlib import Path; from training.data import load_recipe\n"
        "folder = Path(sys.argv[1]); load_recipe(folder)\n"
        "print(type(joblib.load(folder / 'v1' / 'model.joblib')[0]).__name__)"
    )
    assert run(sys.executable, "-c", program, iris).stdout == "Doubler\n"


def test_processes_of_a_search_know_the_classes_of_a_recipe(iris: Path) -> None:
    recipe = """from sklearn.model_selection import GridSearchCV
class Own(TransformerMixin, BaseEstimator):
    def fit(self, rows, labels=None):
        return self
    def transform(self, rows):
        return rows
def build_pipeline(estimator, declaration):
    searched = make_pipeline(Own(), LogisticRegression())
    return make_pipeline(GridSearchCV(searched, {"logisticregression__C": [1.0]}, n_jobs=2))
"""
    (iris / "recipe.py").write_text(IMPORTS + LOAD + recipe, encoding="utf-8")
    result = run(
        sys.executable, "-m", "training", "--models-dir", iris.parent, "--model", "iris", check=False
    )
    assert "error: v1: 'Own' cannot be exported to ONNX: skl2onnx has no converter for it" in result.stderr


def test_made_up_rows_may_hold_numbers_of_numpy(iris: Path) -> None:
    recipe = """def generate_data(declaration):
    names = declaration.feature_names
    return [dict(zip(names, values)) for values in np.ones((30, 4), dtype=np.int64)], ["setosa"] * 30
"""
    (iris / "recipe.py").write_text(IMPORTS + recipe, encoding="utf-8")
    declaration = load_declaration(iris).model_copy(update={"data_file": None})
    data = load_training_data(iris, declaration, load_recipe(iris), None)
    assert (data.matrix == 1).all()


@pytest.mark.parametrize("name", ["ret", "class", "numpy"])
def test_a_models_name_shadows_nothing(tmp_path: Path, name: str) -> None:
    folder = copied(IRIS, tmp_path).rename(tmp_path / name)
    declared = (folder / "model.toml").read_text(encoding="utf-8")
    (folder / "model.toml").write_text(
        declared.replace('name = "iris"', f'name = "{name}"', 1), encoding="utf-8"
    )
    said: list[str] = []
    check(folder, None, said.append)
    assert said[-2:] == [
        "a request with the example: 200, setosa",
        f"{name} can be trained: make train MODEL={name}",
    ]
    assert sys.modules["numpy"] is np


def test_an_interruption_ends_without_a_traceback(iris: Path) -> None:
    recipe = loading('print("loading", flush=True); time.sleep(60)') + BUILD
    (iris / "recipe.py").write_text(IMPORTS + recipe, encoding="utf-8")
    program = (  # a shell's job in the background ignores SIGINT, and so would what it starts
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "runpy.run_module('training', run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--models-dir", iris.parent, "--model", "iris"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    assert (process.communicate(timeout=30)[1], process.returncode) == ("", 130)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Let what is started here take SIGINT, which a shell's job in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(
    "verb", ["training", "training.new", "training.check", "training.importing", "training.retrain"]
)
def test_an_interruption_during_the_imports_ends_without_a_traceback(verb: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", verb], cwd=PROJECT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    assert any("| " in line and "numpy" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert [line for line in said.splitlines() if not line.startswith("import time:")] == []
    assert process.returncode == 130


@pytest.mark.usefixtures("interrupts")
def test_an_interruption_of_an_import_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "made.pkl"
    file.write_bytes(b"(cbuiltins\nprint\n(Vopening\ntRctime\nsleep\n(I60\ntRt.")
    options = ["--models-dir", tmp_path / "models", "--model", "credit", "--file", file, "--trust", "yes"]
    rows = ["--data", IRIS / "data.csv", "--target", "species"]
    process = subprocess.Popen(
        list(map(str, [sys.executable, "-u", "-m", "training.importing", *options, *rows])),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "opening\n"
    process.send_signal(signal.SIGINT)
    assert (process.communicate(timeout=60)[1], process.returncode) == ("", 130)
    assert [path.name for path in tmp_path.iterdir()] == ["made.pkl"]


@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_nobody_reads_ends_it_quietly(iris: Path, *, buffered: bool) -> None:
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-m", "training", "--models-dir", iris.parent, "--model", "iris"],
        cwd=PROJECT,
        env=os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (result.stderr, result.returncode) == ("", 141)
    assert (iris / "v1").exists() == buffered
    assert not list(iris.glob(".new-*"))


@pytest.mark.parametrize("raised", [SystemExit(0), GeneratorExit(), BaseExceptionGroup("", [SystemExit()])])
def test_no_code_of_a_model_ends_a_command_without_a_sentence(
    capfd: pytest.CaptureFixture[str], raised: BaseException
) -> None:
    def work() -> None:
        raise raised

    assert exit_code(work) == 1
    assert capfd.readouterr().err.startswith(f"error: {type(raised).__name__}")


def test_too_little_memory_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: np.empty(10**16)) == 1
    assert capfd.readouterr().err.startswith("error: there is not enough memory: give fewer rows or features")


def test_the_quick_fit_has_every_category_class_and_column() -> None:
    declaration = load_declaration(HEART)
    names = declaration.feature_names
    rows = [dict(declaration.example) | {"ca": None} for _ in range(2 * MOST_ROWS)]
    labels = np.ones(len(rows), dtype=np.int64)
    rows[101]["sex"], rows[103]["ca"], labels[105:115] = "female", 2, 0
    data = TrainingData(ReadRows(rows), Encoder(declaration).encode(rows), labels, "")
    few = few_rows(declaration, data)
    assert MOST_ROWS <= len(few.rows) == len(few.labels) == len(few.matrix) < MOST_ROWS + 30
    assert {row["sex"] for row in few.rows} == {"female", declaration.example["sex"]}
    assert set(few.matrix[:, names.index("sex")].tolist()) == {0, 1}
    assert 2 in few.matrix[:, names.index("ca")]
    assert (few.labels == 0).sum() == 10
