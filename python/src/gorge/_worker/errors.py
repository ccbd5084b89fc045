"""Exceptions as a person wants to see them: type, text, and the user's own lines."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from types import TracebackType

MAX_MESSAGE = 1000
MAX_TRACEBACK = 8000
MAX_FRAMES = 30


@dataclass(frozen=True)
class Failure:
    """Why rows failed: a stable code, one sentence, the user's frames."""

    code: str
    message: str
    traceback: str = ""


class Rejected(Exception):
    """A function gave back something that is no result for its rows."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BadValue(Rejected):
    """A result has the right shape, but a value in it is impossible: the rest may be fine."""


class Describer:
    """Makes failures of exceptions; formats one traceback per type and line.

    Formatting costs far more than a call: a batch with a hundred bad rows of
    one kind must not pay it a hundred times.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[type[BaseException], str, int], str] = {}

    def describe(self, e: BaseException) -> Failure:
        """Return the failure that stands for an exception out of the function."""
        if isinstance(e, Rejected):
            return Failure(e.code, e.message)
        tb = user_frames(e.__traceback__)
        key = (type(e), *_last_line(tb))
        text = self._seen.get(key)
        if text is None:
            text = format_traceback(e, tb)
            if len(self._seen) < 1000:
                self._seen[key] = text
        return Failure("exception", message_of(e), text)


def message_of(e: BaseException) -> str:
    """Return type and text of an exception on one line, with a hint for what people meet most."""
    try:
        text = str(e)
    except Exception:
        text = "(its text cannot be made)"
    text = " ".join(text.split())
    line = f"{type(e).__name__}: {text}" if text else type(e).__name__
    if isinstance(e, ValueError) and "read-only" in text:
        line += " (arguments are views of shared memory: make a copy before changing them in place)"
    return line[:MAX_MESSAGE]


def user_frames(tb: TracebackType | None) -> TracebackType | None:
    """Drop the frames of the worker and of the import machinery above the user's code."""
    start = tb
    while tb is not None:
        module = tb.tb_frame.f_globals.get("__name__", "")
        ours = module.startswith("gorge._worker") or "importlib" in tb.tb_frame.f_code.co_filename
        tb = tb.tb_next
        if ours:
            start = tb
    return start


def format_traceback(e: BaseException, tb: TracebackType | None) -> str:
    """Return the traceback as Python prints it, from the first of the given frames on."""
    try:
        lines = traceback.TracebackException(type(e), e, tb, limit=-MAX_FRAMES).format()
        return "".join(lines)[:MAX_TRACEBACK]
    except Exception:
        return message_of(e)


def _last_line(tb: TracebackType | None) -> tuple[str, int]:
    if tb is None:
        return ("", 0)
    while tb.tb_next is not None:
        tb = tb.tb_next
    return (tb.tb_frame.f_code.co_filename, tb.tb_lineno)
