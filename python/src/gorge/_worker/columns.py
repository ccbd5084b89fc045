"""Arguments: columns of an input slot as NumPy arrays.

Fixed-width columns are views of the shared memory, made once per slot: a batch
costs one slice per column and no copy. Strings become arrays of objects.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gorge._worker.memory import Memory
from gorge._worker.protocol import Column

Array: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]

STORED = {
    "bool": "?",  # one byte a row
    "int32": "<i4",
    "int64": "<i8",
    "float32": "<f4",
    "float64": "<f8",
    "timestamp": "<M8[us]",
}
"""The dtype of the fixed-width kinds."""


class Argument:
    """One argument of the function, over all slots."""

    def __init__(self, memory: Memory, column: Column) -> None:
        rows = memory.layout.rows
        self.kind = column.kind
        self._views: list[Array] = []
        self._validity: list[npt.NDArray[np.uint8]] = []
        self._bytes: list[memoryview] = []
        for slot in range(memory.layout.slots):
            base = memory.input_at(slot)
            at = base + column.values
            if column.kind in STORED:
                view = np.frombuffer(memory.input, STORED[column.kind], rows, at)
            else:
                view = np.frombuffer(memory.input, "<i4", rows + 1, at)
                start = base + column.bytes
                self._bytes.append(memoryview(memory.input)[start : start + column.bytes_cap])
            self._views.append(view)
            bits = (rows + 7) // 8
            self._validity.append(
                np.frombuffer(memory.input, np.uint8, bits, base + column.validity)
            )

    def view(self, slot: int) -> Array | None:
        """Return the values of a slot over all its rows, or None where values are made by read."""
        return None if self._bytes else self._views[slot]

    def read(self, slot: int, n: int) -> Array:
        """Return the first n values of a slot, read-only; rows that are null hold anything."""
        if not self._bytes:
            return self._views[slot][:n]
        ends = self._views[slot][: n + 1].tolist()
        raw = bytes(self._bytes[slot][: ends[-1]])
        values: list[Any]
        if self.kind == "binary":
            values = [raw[a:b] for a, b in pairwise(ends)]
        elif raw.isascii():
            text = raw.decode("ascii")
            values = [text[a:b] for a, b in pairwise(ends)]
        else:
            values = [raw[a:b].decode() for a, b in pairwise(ends)]
        return read_only(objects(values))

    def valid(self, slot: int, n: int) -> Mask:
        """Return which of the first n rows are not null."""
        bits = np.unpackbits(self._validity[slot][: (n + 7) // 8], count=n, bitorder="little")
        return bits.view(np.bool_)


def objects(values: list[Any]) -> Array:
    """Return an array of objects; NumPy alone would guess a dtype or a shape."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def read_only(array: Array) -> Array:
    """Forbid writing, so that copies behave as the views that other batches get."""
    array.flags.writeable = False
    return array
