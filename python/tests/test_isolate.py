"""The rows to blame are found, whatever the function does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gorge._registry import Function
from gorge._worker.columns import Array, read_only
from gorge._worker.errors import MAX_MESSAGE, Describer, Failure, message_of
from gorge._worker.isolate import MAX_FAILURES, MAX_HALVING, Caller, Outcome
from gorge._worker.protocol import Column
from gorge._worker.results import Result


def call(
    function: Callable[..., Any],
    n: int,
    *,
    kind: str = "float64",
    valid: Any = None,
    rowwise: bool = True,
    clock: Callable[[], float] = lambda: 0.0,
) -> Outcome:
    results = [Result("f", Column(kind, 0, 0))]
    caller = Caller(Function("f", function, rowwise=rowwise), results, clock)
    return caller.call([read_only(np.arange(n, dtype=float))], n, valid, 1.0)


def failed(outcome: Outcome) -> list[int]:
    return [] if outcome.failed is None else np.flatnonzero(outcome.failed).tolist()


@pytest.mark.parametrize(
    "bad", [[0], [1023], [5, 6, 7], [0, 511, 512, 1023], list(range(0, 1024, 3)), list(range(1024))]
)
def test_only_bad_rows_fail(bad: list[int]) -> None:
    calls = 0

    def function(x: Array) -> Array:
        nonlocal calls
        calls += 1
        if np.isin(x, bad).any():
            raise ValueError("no")
        return x * 2

    outcome = call(function, 1024)
    assert failed(outcome) == bad
    good = np.setdiff1d(np.arange(1024), bad)
    assert (outcome.parts[0][0][good] == good * 2).all()
    assert outcome.failures[0].message == "ValueError: no"
    assert len(outcome.failures) == 1
    assert calls <= 1 + MAX_HALVING + 2 + 1024


def test_each_kind_of_failure_is_kept_once_and_their_number_is_bounded() -> None:
    def function(x: Array) -> Array:
        raise ValueError(f"row {x[0]:.0f} of {len(x)}")

    outcome = call(function, 1000)
    assert failed(outcome) == list(range(1000))
    assert len(outcome.failures) <= MAX_FAILURES + 1
    assert outcome.failed is not None
    assert outcome.failed.max() <= len(outcome.failures)
    assert outcome.failures[outcome.failed[7] - 1].message == "ValueError: row 7 of 1"


def test_the_search_ends_when_its_time_is_over() -> None:
    now = 0.0

    def function(x: Array) -> Array:
        nonlocal now
        now += 0.1
        if (x == 3).any():
            raise ValueError("no")
        return x

    outcome = call(function, 1024, clock=lambda: now)
    assert 3 in failed(outcome)
    assert 1023 not in failed(outcome)
    assert "took too long" in outcome.failures[0].message


def test_a_function_of_whole_batches_is_called_once() -> None:
    calls = 0

    def function(x: Array) -> Array:
        nonlocal calls
        calls += 1
        raise ValueError("no")

    assert failed(call(function, 10, rowwise=False)) == list(range(10))
    assert calls == 1


def test_nulls_do_not_reach_the_function() -> None:
    valid = np.array([True, False, True, True, False])

    def function(x: Array) -> Array:
        assert x.tolist() in ([0, 2, 3], [0], [2, 3], [2], [3])
        assert not x.flags.writeable
        if (x == 2).any():
            raise KeyError("two")
        return x + 1

    outcome = call(function, 5, valid=valid)
    values, nulls = outcome.parts[0]
    assert failed(outcome) == [2]
    assert nulls is not None
    assert nulls.tolist() == [False, True, False, False, True]
    assert values[[0, 3]].tolist() == [1, 4]


def test_a_batch_of_nulls_calls_nothing() -> None:
    def function(x: Array) -> Array:
        raise AssertionError

    outcome = call(function, 3, valid=np.zeros(3, bool))
    assert failed(outcome) == []
    nulls = outcome.parts[0][1]
    assert nulls is not None
    assert nulls.all()


def test_nulls_of_parts_are_kept() -> None:
    def function(x: Array) -> Any:
        if (x == 9).any():
            raise ValueError("no")
        return np.ma.array(x, mask=x % 2 == 0)

    outcome = call(function, 20)
    nulls = outcome.parts[0][1]
    assert nulls is not None
    assert [i for i in range(20) if nulls[i]] == [i for i in range(20) if i % 2 == 0]
    assert failed(outcome) == [9]


def test_exceptions_of_every_kind_are_caught() -> None:
    class Strange(BaseException):
        def __str__(self) -> str:
            raise RuntimeError

    for error in (
        SystemExit(3),
        KeyboardInterrupt(),
        MemoryError(),
        Strange(),
        RecursionError("deep"),
    ):

        def function(x: Array, error: BaseException = error) -> Array:
            raise error

        outcome = call(function, 2)
        assert failed(outcome) == [0, 1]
        assert type(error).__name__ in outcome.failures[0].message


def test_tracebacks_show_the_users_frames_and_are_formatted_once() -> None:
    describer = Describer()

    def inner() -> None:
        raise ValueError("no")

    seen: list[Failure] = []
    for _ in range(2):
        try:
            inner()
        except ValueError as e:
            seen.append(describer.describe(e))
    assert seen[0] == seen[1]
    assert seen[0].traceback is seen[1].traceback
    assert "in inner" in seen[0].traceback
    outcome = call(lambda x: inner(), 1)
    assert "_worker" not in outcome.failures[0].traceback


def test_messages_are_one_line_of_bounded_length() -> None:
    assert message_of(ValueError("a\n  b")) == "ValueError: a b"
    assert message_of(ValueError()) == "ValueError"
    assert len(message_of(ValueError("x" * 10_000))) == MAX_MESSAGE
