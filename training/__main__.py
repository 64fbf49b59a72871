"""Command line: `python -m training --model heart-disease [--data FILE] [--version v1]`."""

import argparse
import sys
from pathlib import Path

from bundle.errors import BundleError, InvalidRowsError
from training.build import build
from training.export import ParityError
from training.table import DataError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Train a model into verified bundles."
    )
    parser.add_argument("--model", default="heart-disease", help="folder under --models-dir (heart-disease)")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="where models live (models)")
    parser.add_argument("--data", type=Path, help="CSV file to train on (the model's own data)")
    parser.add_argument("--version", help="version to write (all that the model declares)")
    arguments = parser.parse_args()
    try:
        build(arguments.models_dir / arguments.model, arguments.version, arguments.data, say=print)
    except (BundleError, DataError, ParityError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename} cannot be read: {error.strerror}", file=sys.stderr)
    except InvalidRowsError as error:
        first = error.errors[0]
        print(f"error: row {first.row} of the data: {first.field} {first.detail}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
