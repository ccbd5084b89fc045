"""Finds the function: imports the user's file and looks a name and version up.

Everything that can be wrong is a :class:`Refused` with a code that the engine
turns into an error for a person.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from gorge import _registry
from gorge._registry import Function
from gorge._worker.errors import format_traceback, message_of, user_frames


class Refused(Exception):
    """The function cannot be served; ``fields`` go to the engine as they are."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = fields


def load(file: str, name: str, version: int, args: int, returns: tuple[str, ...]) -> Function:
    """Return the function, checked against the number of arguments and the results it will have.

    Raises:
        Refused: It cannot be served, with the reason.
    """
    function = find(import_file(file), name, version)
    check_arity(function, args)
    if function.returns is not None and function.returns != returns:
        raise Refused(
            "returns",
            f"function {name!r} returns {', '.join(function.returns)}, "
            f"the pipeline expects {', '.join(returns)}",
            names=list(function.returns),
        )
    return function


def import_file(file: str) -> ModuleType:
    """Import a file as a module of its own name, with its folder importable.

    Raises:
        Refused: The file is missing, does not parse, or raises.
    """
    path = Path(file)
    if not path.is_file():
        raise Refused("file_missing", f"file {file} does not exist")
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise Refused("import", f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as e:
        raise Refused("syntax", str(e.msg), **_place(e, file)) from e
    except BaseException as e:
        raise _import_failure(e, file) from e
    return module


def _place(e: SyntaxError, file: str) -> dict[str, Any]:
    return {
        "file": e.filename or file,
        "line": e.lineno or 0,
        "column": e.offset or 0,
        "source": (e.text or "").rstrip("\n"),
    }


def _import_failure(e: BaseException, file: str) -> Refused:
    tb = user_frames(e.__traceback__)
    fields: dict[str, Any] = {"traceback": format_traceback(e, tb)}
    while tb is not None:  # the deepest line inside the user's own file
        if tb.tb_frame.f_code.co_filename == file:
            fields |= {"file": file, "line": tb.tb_lineno}
        tb = tb.tb_next
    if isinstance(e, ModuleNotFoundError) and e.name:
        return Refused("module_missing", message_of(e), names=[e.name], **fields)
    return Refused("import", message_of(e), **fields)


def find(module: ModuleType, name: str, version: int) -> Function:
    """Look a function up: registered ones first, then a plain one of the module.

    Version 0 asks for the newest. A plain function has version 1.

    Raises:
        Refused: There is none, or not in this version.
    """
    known = _registry.versions(name)
    if not known:
        plain = getattr(module, name, None)
        if plain is None or not callable(plain):
            raise Refused(
                "function_missing",
                f"{module.__file__} has no function {name!r}",
                names=candidates(module),
            )
        known = {1: Function(name, plain)}
    wanted = version or max(known)
    if wanted not in known:
        raise Refused(
            "version",
            f"function {name!r} has no version {version}",
            names=[str(v) for v in sorted(known)],
        )
    return known[wanted]


def candidates(module: ModuleType) -> list[str]:
    """Return the names that a pipeline could mean, for a suggestion."""
    own = [
        n
        for n, v in vars(module).items()
        if inspect.isfunction(v) and not n.startswith("_") and v.__module__ == module.__name__
    ]
    return sorted({*own, *_registry.names()})[:200]


def check_arity(function: Function, args: int) -> None:
    """Check that the function can be called with so many columns.

    Raises:
        Refused: It cannot, or it is of a kind that is not called on columns.
    """
    call = function.call
    for test, what in (
        (inspect.iscoroutinefunction, "an async function"),
        (inspect.isasyncgenfunction, "an async generator"),
        (inspect.isgeneratorfunction, "a generator"),
    ):
        if test(call):
            raise Refused(
                "signature", f"function {function.name!r} is {what}, not a plain function"
            )
    shape = signature_of(call)
    if shape is None:
        return
    try:
        shape.bind(*(None,) * args)
    except TypeError as e:
        raise Refused(
            "arity",
            f"function {function.name}{shape} cannot be called with "
            f"{args} argument{'s' if args != 1 else ''}: {e}",
        ) from e


def signature_of(call: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature, or None for native callables that tell none."""
    inputs = getattr(call, "nin", None)  # a NumPy ufunc
    if isinstance(inputs, int):
        kind = inspect.Parameter.POSITIONAL_ONLY
        return inspect.Signature([inspect.Parameter(f"x{i + 1}", kind) for i in range(inputs)])
    try:
        return inspect.signature(call)
    except (TypeError, ValueError):
        return None


def needs_numpy() -> None:
    """Check that NumPy can be imported.

    Raises:
        Refused: It cannot, with the reason.
    """
    # Threads of a numeric library would compete with the engine's tasks for the cores.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    try:
        import numpy  # noqa: F401
    except ImportError as e:
        raise Refused("numpy_missing", message_of(e)) from e
