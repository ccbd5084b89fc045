"""Results: what a function gave back, checked and put into a result slot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gorge._worker.columns import STORED, Array, Mask, objects
from gorge._worker.errors import BadValue, Rejected
from gorge._worker.memory import Memory
from gorge._worker.protocol import Column

Part = tuple[Array, Mask | None]
"""Values of one result and which of them are null (None: none)."""


class TooLargeError(Exception):
    """The texts of a result do not fit its slot; the engine sends fewer rows."""


class Result:
    """One result of the function: what it may be, and where it goes."""

    def __init__(self, function: str, column: Column) -> None:
        self.kind = column.kind
        self._function = function
        self._column = column
        self.text = column.kind in ("string", "binary")
        self.dtype: np.dtype[Any] = np.dtype(object if self.text else STORED[column.kind])

    def check(self, value: Any, n: int) -> Part:
        """Return a value of the function as an array of n rows of the right dtype.

        Raises:
            Rejected: It is not that, and cannot become it without a loss.
        """
        if type(value) is np.ndarray and value.dtype == self.dtype and value.shape == (n,):
            return self._encoded(value, None) if self.text else (value, None)
        array, nulls = self._array(value, n)
        if array.shape != (n,):
            shape = "a single value" if array.ndim == 0 else f"shape {array.shape}"
            raise self._rejected(
                "wrong_length", f"returned {shape} for {n} rows; expected one value per row"
            )
        if self.text:
            return self._encoded(array, nulls)
        return self._converted(array, nulls)

    def _array(self, value: Any, n: int) -> tuple[Array, Mask | None]:
        if isinstance(value, np.ma.MaskedArray):
            nulls = np.ma.getmaskarray(value) if value.mask is not np.ma.nomask else None
            return value.data, nulls
        if isinstance(value, np.ndarray):
            return value, None
        if isinstance(value, list):
            try:
                array = objects(value) if self.text else np.asarray(value)
            except ValueError as e:
                raise self._rejected("wrong_dtype", f"returned an uneven list: {e}") from e
            return array, None
        if hasattr(value, "__array__"):
            return np.asarray(value), None
        raise self._rejected(
            "wrong_length" if np.isscalar(value) else "wrong_dtype",
            f"returned {_a(value)}; expected an array of {self.kind} with {n} rows",
        )

    def _rejected(self, code: str, what: str) -> Rejected:
        return Rejected(code, f"function {self._function!r} {what}")

    def _converted(self, array: Array, nulls: Mask | None) -> Part:
        have, want = array.dtype, self.dtype
        if have == want:
            return array, nulls
        if self.kind in ("float64", "float32") and have.kind in "fiu" and have.itemsize <= 8:
            return array.astype(want), nulls
        if self.kind in ("int64", "int32") and have.kind in "iu":
            if array.size and not _fits(array, want):
                raise BadValue(
                    "wrong_dtype",
                    f"function {self._function!r} returned a value that does not fit {self.kind}",
                )
            return array.astype(want), nulls
        if self.kind == "timestamp" and have.kind == "M":
            array = array.astype(want)
            return array, _either(nulls, np.isnat(array))
        raise self._rejected(
            "wrong_dtype", f"returned an array of {have}; expected {self.kind} ({want})"
        )

    def _encoded(self, array: Array, nulls: Mask | None) -> Part:
        """Turn texts into an array of bytes objects; None becomes null."""
        if array.dtype.kind not in "OUST":
            raise self._rejected(
                "wrong_dtype", f"returned an array of {array.dtype}; expected {self.kind} values"
            )
        values = array.tolist()
        missing = _either(nulls, np.fromiter((v is None for v in values), np.bool_, len(values)))
        if missing is not None:
            blank: str | bytes = "" if self.kind == "string" else b""
            values = [blank if gone else v for v, gone in zip(values, missing, strict=True)]
        expected = str if self.kind == "string" else bytes
        for v in values:
            if not isinstance(v, expected):
                raise BadValue(
                    "wrong_dtype",
                    f"function {self._function!r} returned {_a(v)} where {self.kind} was expected",
                )
        if self.kind == "string":
            values = [v.encode() for v in values]
        return objects(values), missing

    def blank(self, n: int) -> Array:
        """Return n values for rows that have no result."""
        if self.text:
            return objects([b""] * n)
        return np.zeros(n, self.dtype)

    def writer(self, memory: Memory) -> Writer:
        """Return what writes this result into the slots of a memory."""
        return Writer(memory, self._column, self.text)


class Writer:
    """Writes one result into the slots."""

    def __init__(self, memory: Memory, column: Column, text: bool) -> None:
        rows = memory.layout.rows
        self._text = text
        self._cap = column.bytes_cap
        self.values: list[Array] = []  # of each slot, over all its rows
        self._validity: list[npt.NDArray[np.uint8]] = []
        self._bytes: list[memoryview] = []
        for slot in range(memory.layout.slots):
            base = memory.output_at(slot)
            at = base + column.values
            if text:
                self.values.append(np.frombuffer(memory.output, "<i4", rows + 1, at))
                start = base + column.bytes
                self._bytes.append(memoryview(memory.output)[start : start + self._cap])
            else:
                self.values.append(np.frombuffer(memory.output, STORED[column.kind], rows, at))
            self._validity.append(
                np.frombuffer(memory.output, np.uint8, (rows + 7) // 8, base + column.validity)
            )

    def write(self, slot: int, n: int, part: Part) -> bool:
        """Write n values and return whether some are null.

        Raises:
            TooLargeError: They do not fit.
        """
        values, nulls = part
        if self._text:
            self._write_text(slot, n, values)
        else:
            self.values[slot][:n] = values
        if nulls is None or not nulls.any():
            return False
        bits = np.packbits(~nulls, bitorder="little")
        self._validity[slot][: len(bits)] = bits
        return True

    def _write_text(self, slot: int, n: int, values: Array) -> None:
        items: list[bytes] = values.tolist()
        raw = b"".join(items)
        if len(raw) > self._cap:
            raise TooLargeError
        offsets = self.values[slot]
        offsets[0] = 0
        np.cumsum(np.fromiter(map(len, items), np.int32, n), out=offsets[1 : n + 1])
        self._bytes[slot][: len(raw)] = raw


def check_all(function: str, results: list[Result], value: Any, n: int) -> list[Part]:
    """Check the return value of a function with one or several results.

    Raises:
        Rejected: It is not what the pipeline expects.
    """
    if len(results) == 1:
        return [results[0].check(value, n)]
    if not isinstance(value, tuple) or len(value) != len(results):
        have = f"{len(value)} values" if isinstance(value, tuple) else _a(value)
        raise Rejected(
            "wrong_dtype", f"function {function!r} returned {have}; expected {len(results)} arrays"
        )
    return [r.check(v, n) for r, v in zip(results, value, strict=True)]


def _a(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def _fits(array: Array, want: np.dtype[Any]) -> bool:
    limits = np.iinfo(want)
    return bool(array.min() >= limits.min and array.max() <= limits.max)


def _either(a: Mask | None, b: Mask) -> Mask | None:
    if not b.any():
        return a
    return b if a is None else a | b
