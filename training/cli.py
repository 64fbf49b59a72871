"""What the commands of this package have in common: their options, and a sentence for each failure."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bundle.errors import BundleError, InvalidRowsError
from training.export import ParityError
from training.table import DataError


def parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    parser.add_argument("--model", default="heart-disease", help="folder under --models-dir (heart-disease)")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="where models live (models)")
    parser.add_argument("--data", type=Path, help="CSV file of labelled rows (the model's own data)")
    return parser


def exit_code(work: Callable[[], object]) -> int:
    """Do the work, and return 0; or 1 where it failed, which is told in a sentence."""
    try:
        work()
    except (BundleError, DataError, ParityError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename} cannot be read or written: {error.strerror}", file=sys.stderr)
    except InvalidRowsError as error:
        first = error.errors[0]
        print(f"error: row {first.row} of the data: {first.field} {first.detail}", file=sys.stderr)
    else:
        return 0
    return 1
