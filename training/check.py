"""Checks in seconds that a model can be trained and served: `python -m training.check --model credit`.

The declaration, the names of metrics, the data; of every version a fit on at most a few thousand rows, its
export to ONNX, and whether that gives the same probabilities. Then the server answers the model's example.
No version is evaluated, and nothing is written to the model's folder.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bundle.declaration import Declaration, model_folder
from training import Say
from training.build import write_bundle
from training.cli import exit_code, parser
from training.data import TrainingData, load_recipe
from training.evaluation import evaluate
from training.fitting import predict_classes
from training.preparation import check_data, check_declaration, check_fit, few_rows
from training.recipe import Recipe
from training.table import DataError

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
"""Variables that the server gets from this process: none of its settings."""


def check(folder: Path, data: Path | None, say: Say) -> None:
    """Check a model step by step; the first failure is raised."""
    declaration = check_declaration(folder, say)
    recipe = load_recipe(folder)
    say("recipe.py: it is imported")
    every = check_data(folder, declaration, recipe, data, say)
    rows = few_rows(declaration, every)
    if len(rows.rows) < len(every.rows):
        say(f"data: the quick fit takes a sample of {len(rows.rows)} of them; make train takes all")
    with tempfile.TemporaryDirectory(prefix="check-") as temporary:
        models = Path(temporary)
        model = models / declaration.name
        model.mkdir()
        shutil.copyfile(folder / "model.toml", model / "model.toml")
        for version in declaration.versions:
            write_quickly(model / version, declaration, recipe, rows, say)
        with served(models, declaration.name) as url:
            say(f"a request with the example: 200, {predicted(url, declaration)}")
    say(f"{declaration.name} can be trained: make train MODEL={declaration.name}")


def write_quickly(
    folder: Path, declaration: Declaration, recipe: Recipe, data: TrainingData, say: Say
) -> None:
    """Write a bundle whose metrics are those of the rows that it was fitted to: it is not for use."""
    pipeline, files = check_fit(folder.name, declaration, recipe, data, say)
    probabilities = predict_classes(pipeline, data.matrix, len(declaration.classes))[None]
    evaluation = evaluate(declaration, data.matrix, data.labels, probabilities)
    write_bundle(
        folder,
        declaration,
        data,
        pipeline=pipeline,
        estimator=type(pipeline[-1]).__name__,
        files=files,
        inspected={},
        evaluation=evaluation,
        probabilities=probabilities,
    )


@contextmanager
def served(models: Path, name: str) -> Iterator[str]:
    """Start the server with a model, on a free port, and yield its URL."""
    settings = {"MODELS_DIR": str(models), "MODEL": name, "PORT": "0", "LOG_FORMAT": "json"}
    with subprocess.Popen(
        [sys.executable, "api_server.py"],
        cwd=PROJECT,
        env={variable: os.environ[variable] for variable in KEPT if variable in os.environ} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        deadline = threading.Timer(START_SECONDS, process.kill)
        deadline.start()
        try:
            yield listening_url(process)
        finally:
            deadline.cancel()
            process.kill()


def listening_url(process: subprocess.Popen[str]) -> str:
    """Wait until the server accepts requests; DataError has its last line if it ends instead."""
    line = "it says nothing"
    for line in process.stdout or ():
        fields = json.loads(line) if line.startswith("{") else {}
        if fields.get("message") == "listening":
            return str(fields["url"])
    raise DataError(f"the server does not start: {line.strip().removeprefix('error: ')}")


def predicted(url: str, declaration: Declaration) -> str:
    """Return the answer to the model's example; DataError if it is not 200."""
    request = urllib.request.Request(  # noqa: S310  # our own server
        f"{url}/predict",
        json.dumps(declaration.example).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=START_SECONDS) as response:  # noqa: S310
            return str(json.load(response)["prediction"])
    except urllib.error.HTTPError as error:
        raise DataError(
            f"the server answers the example with {error.code}: {error.read().decode()}"
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser("training.check", "Check in seconds that a model can be trained and served.")
    options = command.parse_args(arguments)
    models, name = options.models_dir, options.model
    return exit_code(lambda: check(model_folder(models, name), options.data, print), show_cells=True)


if __name__ == "__main__":
    sys.exit(main())
