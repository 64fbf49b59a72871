"""docs/models.md: its commands work in its order."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PROJECT, Server
from training.__main__ import main as train
from training.check import main as check
from training.new import main as new

PAGE = (PROJECT / "docs" / "models.md").read_text(encoding="utf-8")
VERBS: dict[str, Callable[[list[str]], int]] = {"new": new, "check": check, "train": train}


@pytest.mark.heart
def test_the_commands_of_the_page_lead_to_a_prediction(tmp_path: Path) -> None:
    commands, request = re.findall(r"```(?:console|sh)\n(.*?)```", PAGE, re.DOTALL)[:2]
    *makes, run = commands.splitlines()
    for command in makes:
        _, verb, *variables = shlex.split(command)
        options = [part for given in variables for part in given.split("=", 1)]
        arguments = [f"--{part.lower()}" if place % 2 == 0 else part for place, part in enumerate(options)]
        assert VERBS[verb](["--models-dir", str(tmp_path), *arguments]) == 0
    assert run == "MODEL=my-heart make run"
    server = Server({"MODEL": "my-heart", "MODELS_DIR": str(tmp_path)}).wait_until_ready()
    try:
        row = json.loads(shlex.split(request)[-1])
        answer = server.post("/predict", row).json()
        assert (answer["label"], answer["warnings"]) == ("no_narrowing_over_50", [])
    finally:
        server.stop()
