"""The failures that a user can cause, and the sentence of each."""

from collections.abc import Iterator
from contextlib import contextmanager

from bundle.errors import BundleError, InvalidRowsError, printable
from training.export import ExportError
from training.table import DataError

FAILURES = (BundleError, DataError, ExportError, InvalidRowsError, MemoryError, OSError)


def sentence(error: BaseException) -> str:
    """Return what to print of a failure."""
    if isinstance(error, InvalidRowsError):
        first = error.errors[0]
        said = f"row {first.row} of the data: {first.field} {first.detail}"
    elif isinstance(error, OSError) and error.filename is not None:
        said = f"{error.filename} cannot be read or written: {error.strerror}"
    elif isinstance(error, MemoryError):
        said = f"there is not enough memory: give fewer rows or features, or more memory. {error}"
    else:
        said = str(error)
    return printable(said.strip())


class FailedVersions:
    """Collects the failure of each version, so that the others are still trained."""

    def __init__(self) -> None:
        self.failures: dict[str, DataError] = {}

    @contextmanager
    def collected(self, version: str) -> Iterator[None]:
        """Note a failure of a version instead of raising it."""
        try:
            yield
        except BrokenPipeError:  # of the output
            raise
        except FAILURES as error:
            self.failures[version] = DataError(f"{version}: {sentence(error)}")

    def raise_all(self) -> None:
        """Raise an ExceptionGroup of all failures, if there are any."""
        if self.failures:
            raise ExceptionGroup("failed versions", list(self.failures.values()))
