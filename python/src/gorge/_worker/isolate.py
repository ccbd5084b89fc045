"""Calls the function, and when it fails finds the rows to blame.

Each result depends on its own row alone unless the function says otherwise
(``rowwise=False``), so a failing batch is called again in halves until the bad
rows stand alone and the others have their results. The order: the whole batch;
halves, for at most `MAX_HALVING` calls; row by row. Finding rows may take at
most half of the function's timeout, then the rows not yet tried are rejected
with the error of the part that they are in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gorge._registry import Function
from gorge._worker.columns import Array, Mask, read_only
from gorge._worker.errors import BadValue, Describer, Failure, Rejected
from gorge._worker.results import Part, Result, check_all

MAX_HALVING = 64
MAX_FAILURES = 256
TOO_SLOW = " (the rows beside it were rejected with it: trying them one by one took too long)"
TOO_MANY = Failure("exception", "the batch failed in more ways than are kept")


@dataclass(slots=True)
class Outcome:
    """The results of one batch, and which of its rows failed why."""

    parts: list[Part]
    failed: npt.NDArray[np.uint16] | None = None  # per row: index of the failure + 1, or 0
    failures: list[Failure] = field(default_factory=list)


class Caller:
    """Calls one function."""

    def __init__(
        self,
        function: Function,
        results: list[Result],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._function = function
        self._call = function.call
        self._results = results
        self._clock = clock
        self._describer = Describer()

    def call(self, args: list[Array], n: int, valid: Mask | None, timeout: float) -> Outcome:
        """Return the outcome for n rows, of which only the valid ones reach the function.

        The engine kills a worker that takes longer than timeout, in seconds.
        """
        if valid is None:
            try:
                value = self._call(*args)
            except BaseException as e:
                return self.failed(e, args, n, timeout)
            return self.checked(value, args, n, timeout)
        rows = np.flatnonzero(valid)
        some = len(rows)
        present = [read_only(a[rows]) for a in args]
        part = self.call(present, some, None, timeout) if some else None
        return self._spread(part, rows, n, ~valid)

    def checked(self, value: Any, args: list[Array], n: int, timeout: float) -> Outcome:
        """Return the outcome for what the function gave back."""
        try:
            return Outcome(check_all(self._function.name, self._results, value, n))
        except BaseException as e:
            return self.failed(e, args, n, timeout)

    def failed(self, e: BaseException, args: list[Array], n: int, timeout: float) -> Outcome:
        """Return the outcome for a call that raised: find the rows to blame."""
        failure = self._describer.describe(e)
        search = _Search(self, args, n)
        # What a function of broken shape gives for a part of the rows means nothing.
        if self._function.rowwise and (not isinstance(e, Rejected) or isinstance(e, BadValue)):
            search.halve(failure, self._clock() + timeout / 2)
        else:
            search.reject(0, n, failure)
        return search.outcome

    def _spread(self, part: Outcome | None, rows: Array, n: int, missing: Mask) -> Outcome:
        """Put the results of some rows to their places; the missing rows are null."""
        whole = Outcome([])
        for i, result in enumerate(self._results):
            values, nulls = result.blank(n), missing
            if part is not None:
                values[rows] = part.parts[i][0]
                found = part.parts[i][1]
                if found is not None:
                    nulls = missing.copy()
                    nulls[rows] = found
            whole.parts.append((values, nulls))
        if part is not None and part.failed is not None:
            whole.failed = np.zeros(n, np.uint16)
            whole.failed[rows] = part.failed
            whole.failures = part.failures
        return whole

    def attempt(self, args: list[Array], lo: int, hi: int) -> list[Part] | Failure:
        """Call the function for the rows from lo to hi."""
        try:
            value = self._call(*[a[lo:hi] for a in args])
            return check_all(self._function.name, self._results, value, hi - lo)
        except BaseException as e:
            return self._describer.describe(e)

    def blanks(self, n: int) -> list[Part]:
        """Return room for the results of n rows."""
        return [(r.blank(n), None) for r in self._results]

    def now(self) -> float:
        """Return the clock, in seconds."""
        return self._clock()


class _Search:
    """The search for the bad rows of one batch."""

    def __init__(self, caller: Caller, args: list[Array], n: int) -> None:
        self._caller = caller
        self._args = args
        self._n = n
        self._failed = np.zeros(n, np.uint16)
        self._index: dict[Failure, int] = {}
        self.outcome = Outcome(caller.blanks(n), self._failed)

    def halve(self, failure: Failure, until: float) -> None:
        """Find the bad rows of a batch that failed as a whole."""
        calls = 0
        stack = [(0, self._n, failure)]  # parts that are known to fail
        while stack:
            lo, hi, failure = stack.pop()
            if hi - lo == 1:
                self.reject(lo, hi, failure)
                continue
            if self._caller.now() > until:
                note = Failure(failure.code, failure.message + TOO_SLOW, failure.traceback)
                self.reject(lo, hi, note)
                continue
            if calls < MAX_HALVING:
                mid = (lo + hi) // 2
                pieces = [(mid, hi), (lo, mid)]
            else:
                pieces = [(i, i + 1) for i in range(min(hi, lo + 256) - 1, lo - 1, -1)]
                if hi > lo + 256:  # look at the clock again before the rest
                    stack.append((lo + 256, hi, failure))
            calls += len(pieces)
            for a, b in pieces:
                found = self._try(a, b)
                if found is not None:
                    stack.append((a, b, found))

    def _try(self, lo: int, hi: int) -> Failure | None:
        got = self._caller.attempt(self._args, lo, hi)
        if isinstance(got, Failure):
            return got
        for i, (values, nulls) in enumerate(got):
            all_values, all_nulls = self.outcome.parts[i]
            all_values[lo:hi] = values
            if nulls is not None:
                if all_nulls is None:
                    all_nulls = np.zeros(self._n, np.bool_)
                    self.outcome.parts[i] = (all_values, all_nulls)
                all_nulls[lo:hi] = nulls
        return None

    def reject(self, lo: int, hi: int, failure: Failure) -> None:
        """Blame a failure on rows."""
        at = self._index.get(failure)
        if at is None:
            if len(self._index) >= MAX_FAILURES:
                failure = TOO_MANY
            at = self._index.setdefault(failure, len(self._index) + 1)
            if at > len(self.outcome.failures):
                self.outcome.failures.append(failure)
        self._failed[lo:hi] = at


def arguments(args: list[Array], masks: dict[int, Mask]) -> list[Array]:
    """Return the arguments with masks on, for a function that wants to see nulls."""
    masked: list[Any] = list(args)
    for i, missing in masks.items():
        masked[i] = np.ma.MaskedArray(args[i], mask=missing)
    return masked
