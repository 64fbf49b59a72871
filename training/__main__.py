"""Command line: `python -m training --model heart-disease [--data FILE] [--version v1]`."""

import sys
from collections.abc import Sequence

from bundle.declaration import model_folder
from training.build import build
from training.cli import exit_code, parser
from training.memory import Cost


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser("training", "Train a model into verified bundles.")
    command.add_argument("--version", help="version to write (all that the model declares)")
    options = command.parse_args(arguments)
    cost = Cost()

    def work() -> None:
        folder = model_folder(options.models_dir, options.model)
        build(folder, options.version, options.data, say=print)
        print(f"trained {cost}")

    return exit_code(work, show_cells=True)


if __name__ == "__main__":
    sys.exit(main())
