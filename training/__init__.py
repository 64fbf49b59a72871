"""Data -> pipeline -> evaluation -> bundle -> model card. Never imported by `serving`."""

import os
import signal
import sys
from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line for people: what is done, or was found."""

INTERRUPTED = 128 + signal.SIGINT


def _end(*_: object) -> None:
    os._exit(INTERRUPTED)


def _exit(*_: object) -> None:
    sys.exit(INTERRUPTED)


def interruptible(*, cleanly: bool = False) -> None:
    """Let Ctrl-C end the command as Python does (SystemExit), or raise KeyboardInterrupt if `cleanly`."""
    if signal.getsignal(signal.SIGINT) in {_end, _exit}:
        signal.signal(signal.SIGINT, signal.default_int_handler if cleanly else _exit)


# `python -m training.new`, before its imports, which take seconds: there is nothing to clean up yet
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
