"""Settings of the retraining API: those of every server, and two files of its own."""

import os
from pathlib import Path

from pydantic import field_validator

from serving.secret_files import is_in_folder
from serving.settings import ServerSettings


class RetrainSettings(ServerSettings):
    retrain_job: Path
    retrain_key: Path

    @field_validator("retrain_job", "retrain_key")
    @classmethod
    def _place(cls, value: Path) -> Path:
        """Refuse what is no file, nor in a folder: it may be the key itself, and messages name it."""
        if not os.path.isfile(value) and not is_in_folder(value):  # noqa: PTH113  # does not raise
            raise ValueError("no such file")
        return value
