"""Command line: `python -m training --model heart-disease [--data FILE] [--version v1]`."""

import sys

from training.build import build
from training.cli import exit_code, parser


def main() -> int:
    options = parser("training", "Train a model into verified bundles.")
    options.add_argument("--version", help="version to write (all that the model declares)")
    arguments = options.parse_args()
    folder = arguments.models_dir / arguments.model
    return exit_code(lambda: build(folder, arguments.version, arguments.data, say=print))


if __name__ == "__main__":
    sys.exit(main())
