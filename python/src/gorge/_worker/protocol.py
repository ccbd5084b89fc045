"""The words of the wire: messages, layout of the slots, header fields.

``api/udf-protocol.md`` is the contract; the constants here are its copy and the
tests read the same fixtures as the engine's.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

PROTOCOL = 1
"""Version of the protocol. Engine and worker must have the same."""

MAX_MESSAGE = 64 * 1024
WAKE = b"w"

# Words of the control pages, as indexes of 64-bit words.
PUBLISHED = 0  # input: batches handed over so far
STOP = 1  # input: not 0 asks the worker to end
ENGINE_PARKED = 16  # input: not 0 while the engine sleeps on the socket
COMPLETED = 0  # output: batches answered so far
WORKER_PARKED = 16  # output: not 0 while the worker sleeps on the socket
CONTROL = 4096

# Status of a result.
DONE = 0
SOME_FAILED = 1
TOO_LARGE = 2

INPUT_HEADER = struct.Struct("<QIIQ")  # sequence, rows, milliseconds, columns with nulls
RESULT_HEADER = struct.Struct("<QIIQI")  # sequence, rows, status, columns with nulls, error bytes


class ProtocolError(Exception):
    """The engine sent something that this version does not understand."""


@dataclass(frozen=True)
class Column:
    """Where the parts of one column lie, counted from the start of its slot."""

    kind: str
    validity: int
    values: int
    bytes: int = 0
    bytes_cap: int = 0


@dataclass(frozen=True)
class Area:
    """The slots of one memory and the columns of each slot."""

    size: int
    stride: int
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Layout:
    """The geometry of both memories, as the engine sends it."""

    slots: int
    rows: int
    input: Area
    output: Area
    row_errors: int
    errors: int
    errors_cap: int


@dataclass(frozen=True)
class Open:
    """The engine's order: which function over which slots."""

    version: str
    file: str
    function: str
    function_version: int
    layout: Layout


def encode(kind: str, **fields: Any) -> bytes:
    """Return a message, cut down to what one datagram of the socket can hold."""
    text = json.dumps({"type": kind, **fields}).encode()
    while len(text) > MAX_MESSAGE:
        longest = max(
            (k for k in fields if isinstance(fields[k], str)), key=lambda k: len(fields[k])
        )
        fields[longest] = fields[longest][: len(fields[longest]) // 2]
        text = json.dumps({"type": kind, **fields}).encode()
    return text


def parse_open(message: bytes) -> Open:
    """Read the engine's open message.

    Raises:
        ProtocolError: It is none, or of another protocol.
    """
    try:
        m = json.loads(message)
        if m["type"] != "open":
            raise ProtocolError(f"message {m['type']!r} where 'open' was due")
        if m["protocol"] != PROTOCOL:
            raise ProtocolError(f"engine speaks protocol {m['protocol']}, this worker {PROTOCOL}")
        return Open(
            version=str(m["version"]),
            file=str(m["file"]),
            function=str(m["function"]),
            function_version=int(m["function_version"]),
            layout=parse_layout(m["layout"]),
        )
    except (KeyError, TypeError, ValueError) as e:
        raise ProtocolError(f"open message is malformed: {e!r}") from e


def parse_layout(m: dict[str, Any]) -> Layout:
    """Read the layout out of a decoded message."""
    return Layout(
        slots=int(m["slots"]),
        rows=int(m["rows"]),
        input=_area(m["input"]),
        output=_area(m["output"]),
        row_errors=int(m["row_errors"]),
        errors=int(m["errors"]),
        errors_cap=int(m["errors_cap"]),
    )


def _area(m: dict[str, Any]) -> Area:
    columns = tuple(
        Column(
            kind=str(c["kind"]),
            validity=int(c["validity"]),
            values=int(c["values"]),
            bytes=int(c.get("bytes", 0)),
            bytes_cap=int(c.get("bytes_cap", 0)),
        )
        for c in m["columns"]
    )
    return Area(size=int(m["size"]), stride=int(m["stride"]), columns=columns)
