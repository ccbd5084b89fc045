"""The functions of this process, by name and version.

Importing a module registers its functions; the worker looks them up. Nothing
here imports NumPy, so that a file of functions can be checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

Nulls = Literal["skip", "mask"]

KINDS = ("bool", "int32", "int64", "float32", "float64", "string", "binary", "timestamp")
"""The names of the column types, as the pipeline file writes them."""


@dataclass(frozen=True)
class Function:
    """One function as it was declared.

    Attributes:
        name: The name by which a pipeline calls it.
        call: The Python callable.
        version: What a pipeline asks for by ``version:``.
        returns: The types of the results, or None where the pipeline alone says it.
        nulls: ``"skip"``: a row with a null argument gives null without reaching the function;
            ``"mask"``: columns with nulls arrive as ``numpy.ma.MaskedArray``.
        rowwise: Whether each result depends on its own row alone. Only then may the worker call
            the function on parts of a batch to find the rows that make it fail.
    """

    name: str
    call: Callable[..., Any]
    version: int = 1
    returns: tuple[str, ...] | None = None
    nulls: Nulls = "skip"
    rowwise: bool = True


_functions: dict[str, dict[int, Function]] = {}


def register(
    name: str,
    call: Callable[..., Any],
    *,
    version: int = 1,
    returns: str | Sequence[str] | None = None,
    nulls: Nulls = "skip",
    rowwise: bool = True,
) -> Function:
    """Register a callable under a name and a version, and return the declaration.

    Raises:
        ValueError: A setting is wrong, or another callable has this name and version.
        TypeError: ``call`` cannot be called.
    """
    if not callable(call):
        raise TypeError(f"gorge.register: {name!r} is a {type(call).__name__}, not a function")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(
            f"function {name!r}: version must be a whole number from 1, not {version!r}"
        )
    if nulls not in ("skip", "mask"):
        raise ValueError(f'function {name!r}: nulls must be "skip" or "mask", not {nulls!r}')
    declared = Function(name, call, version, _kinds(name, returns), nulls, rowwise)
    versions = _functions.setdefault(name, {})
    known = versions.get(version)
    if known is not None and known.call is not call:
        raise ValueError(f"function {name!r}: version {version} is registered twice")
    versions[version] = declared
    return declared


def _kinds(name: str, returns: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if returns is None:
        return None
    kinds = (returns,) if isinstance(returns, str) else tuple(returns)
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(
                f"function {name!r}: returns {kind!r} is no column type; "
                f"use one of {', '.join(KINDS)}"
            )
    if not kinds:
        raise ValueError(f"function {name!r}: returns must name at least one column type")
    return kinds


@overload
def udf(call: F, /) -> F: ...


@overload
def udf(
    *,
    name: str | None = None,
    version: int = 1,
    returns: str | Sequence[str] | None = None,
    nulls: Nulls = "skip",
    rowwise: bool = True,
) -> Callable[[F], F]: ...


def udf(
    call: F | None = None,
    /,
    *,
    name: str | None = None,
    version: int = 1,
    returns: str | Sequence[str] | None = None,
    nulls: Nulls = "skip",
    rowwise: bool = True,
) -> F | Callable[[F], F]:
    """Declare a function that takes and gives whole columns.

    :class:`Function` explains the settings.

    >>> @udf(version=2, returns="float64")
    ... def double(x):
    ...     return x * 2
    >>> double(21)
    42
    """

    def declare(call: F) -> F:
        found = name or str(getattr(call, "__name__", ""))
        register(found, call, version=version, returns=returns, nulls=nulls, rowwise=rowwise)
        return call

    return declare if call is None else declare(call)


def versions(name: str) -> dict[int, Function]:
    """Return what is registered under a name, by version."""
    return dict(_functions.get(name, {}))


def names() -> list[str]:
    """Return the registered names."""
    return list(_functions)


def clear() -> None:
    """Forget every function; for tests."""
    _functions.clear()
