"""Log lines on standard output: JSON for machines, text for people. Never a patient's values.

Fields of a line are a mapping in `extra={"fields": {...}}`; those of a request's line are LogFields. An
exception is logged as its type and place, without its message, which could hold a value.
"""

import json
import logging
import os
import sys
import time
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from pydantic_core import to_json

LEVELS = {getattr(logging, name): name.lower() for name in ("DEBUG", "INFO", "WARNING", "ERROR")}

STANDARD_OUTPUT = 1
MILLISECONDS = [f".{number:03d}Z" for number in range(1000)]

_as_json = False


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(line_fields(record), separators=(",", ":"), default=str)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = line_fields(record)
        head = f"{fields.pop('time')[11:23]} {fields.pop('level'):7} {fields.pop('message')}"
        return " ".join([head, *(f"{name}={value}" for name, value in fields.items())])


def line_fields(record: logging.LogRecord) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields = {
        "time": stamp.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "message": record.getMessage(),
        **getattr(record, "fields", {}),
    }
    if record.exc_info and record.exc_info[1]:
        fields["cause"] = describe_exception(record.exc_info[1])
    return fields


def describe_exception(error: BaseException) -> str:
    """Return where an exception comes from: its type and the calls that led to it, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[:5]]
    return f"{type(error).__name__} at {' < '.join(places)}"


class LogFields:
    """The fields of one request's log line, as members of a JSON object: written once, never read again.

    They are serialised when they are added, because most are: a model's names are the same in every line.
    """

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members = ""

    def add(self, **fields: Any) -> None:
        self._members += f"{to_json(fields).decode()[1:-1]},"

    def add_serialised(self, members: str) -> None:
        """Add members that are JSON already, such as `"rows":2,"warnings":0`."""
        self._members += f"{members},"

    def clear(self) -> None:
        self._members = ""

    def after(self, first: str) -> str:
        """Return all members, after these serialised ones."""
        return f"{first},{self._members}"[:-1]


def write_line(logger: logging.Logger, level: int, message: str, members: str) -> None:
    """Log a line with fields, given as the members of a JSON object.

    As JSON it is written without logging's machinery, which costs ten times the line. The message is one of
    ours, a few words that need no escaping.
    """
    if not _as_json:
        logger.log(level, message, extra={"fields": json.loads(f"{{{members}}}")})
        return
    head = f'"time":"{_stamp(time.time())}","level":"{LEVELS[level]}"'
    line = f'{{{head},"message":"{message}",{members}}}\n'.encode()
    written = os.write(STANDARD_OUTPUT, line)
    while written < len(line):
        written += os.write(STANDARD_OUTPUT, line[written:])


def _stamp(now: float) -> str:
    second = int(now)
    return _second(second) + MILLISECONDS[int((now - second) * 1000)]


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def configure_logs(level: str, log_format: Literal["json", "text"]) -> None:
    """Send every logger of the process through one handler; uvicorn's access lines give way to ours."""
    global _as_json  # noqa: PLW0603  # where lines go is one setting of the process, as logging's own is
    _as_json = log_format == "json"
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").addFilter(_is_not_about_websockets)


def _is_not_about_websockets(record: logging.LogRecord) -> bool:
    """Drop uvicorn's advice to install a WebSocket library, which any client's Upgrade header calls up."""
    return "WebSocket library" not in record.getMessage()
