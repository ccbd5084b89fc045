"""What the function prints and logs, on its way to the engine's log.

Standard output and error are pipes that the engine reads line by line. A record
of ``logging`` is one line on standard error that begins with RS (0x1e) and holds
JSON; it is at most PIPE_BUF long, so that lines of several threads do not mix.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys

RECORD = "\x1e"
PIPE_BUF = 4096


class EngineHandler(logging.Handler):
    """Passes log records to the engine."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a record that cannot be written is lost, never an error."""
        try:
            text = record.getMessage()
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            os.write(2, record_line(record.levelno, record.name, text))
        except Exception:
            self.handleError(record)


def record_line(level: int, logger: str, message: str) -> bytes:
    """Return the line for one log record."""
    logger = logger[:200]
    while True:
        body = json.dumps({"level": level, "logger": logger, "message": message})
        line = f"{RECORD}{body}\n".encode()
        if len(line) <= PIPE_BUF:
            return line
        message = message[: len(message) * PIPE_BUF // len(line) - 8]


def install() -> None:
    """Send ``logging`` and warnings to the engine and print line by line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.addHandler(EngineHandler())
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
