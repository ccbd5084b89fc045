"""Functions are found, and what is wrong with them is said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gorge
from gorge import _registry
from gorge._worker import load
from gorge._worker.load import Refused


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def file(folder: Path, text: str) -> str:
    path = folder / "user_functions.py"
    path.write_text(text)
    return str(path)


def refused(folder: Path, text: str, **order: Any) -> Refused:
    with pytest.raises(Refused) as e:
        load.load(
            file(folder, text),
            order.get("name", "f"),
            order.get("version", 0),
            order.get("args", 1),
            order.get("returns", ("float64",)),
        )
    return e.value


def test_a_function_is_found_by_name_version_and_decorator(tmp_path: Path) -> None:
    text = """
import gorge
def plain(x): return 1
@gorge.udf
def f(x): return 1
@gorge.udf(name="f", version=3, returns="int64", nulls="mask", rowwise=False)
def g(x): return 3
gorge.register("h", max, returns=["bool", "string"])
"""
    path = file(tmp_path, text)
    module = load.import_file(path)
    assert load.find(module, "plain", 0).version == 1
    assert load.find(module, "f", 1).call(0) == 1
    newest = load.find(module, "f", 0)
    assert (newest.version, newest.call(0)) == (3, 3)
    assert (newest.returns, newest.nulls, newest.rowwise) == (("int64",), "mask", False)
    assert load.find(module, "h", 1).returns == ("bool", "string")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(Refused) as e:
        load.import_file(str(tmp_path / "none.py"))
    assert e.value.code == "file_missing"


def test_a_syntax_error_has_its_place(tmp_path: Path) -> None:
    e = refused(tmp_path, "x = 1\ndef f(:\n")
    assert e.code == "syntax"
    assert (e.fields["line"], e.fields["source"]) == (2, "def f(:")
    assert e.fields["file"].endswith("user_functions.py")


def test_a_missing_module_has_its_name_and_line(tmp_path: Path) -> None:
    e = refused(tmp_path, "import json\nimport no_such_module\n")
    assert (e.code, e.fields["names"], e.fields["line"]) == (
        "module_missing",
        ["no_such_module"],
        2,
    )


@pytest.mark.parametrize("what", ["raise ValueError('no')", "import sys; sys.exit()", "1/0"])
def test_an_exception_at_import_has_the_users_traceback(tmp_path: Path, what: str) -> None:
    e = refused(tmp_path, f"def g():\n    {what}\ng()\n")
    assert e.code == "import"
    assert e.fields["line"] == 2
    assert "in g" in e.fields["traceback"]
    assert "importlib" not in e.fields["traceback"]
    assert "_worker" not in e.fields["traceback"]


def test_a_missing_function_comes_with_those_there_are(tmp_path: Path) -> None:
    text = "import gorge\nfrom json import dumps\ndef g(x): pass\ndef _h(x): pass\n"
    e = refused(tmp_path, text + "gorge.register('r', dumps)\n")
    assert (e.code, e.fields["names"]) == ("function_missing", ["g", "r"])


def test_a_missing_version_comes_with_those_there_are(tmp_path: Path) -> None:
    e = refused(tmp_path, "import gorge\n@gorge.udf(version=4)\ndef f(x): pass\n", version=2)
    assert (e.code, e.fields["names"]) == ("version", ["4"])


def test_results_must_be_those_of_the_pipeline(tmp_path: Path) -> None:
    e = refused(tmp_path, "import gorge\n@gorge.udf(returns='bool')\ndef f(x): pass\n")
    assert (e.code, e.fields["names"]) == ("returns", ["bool"])


@pytest.mark.parametrize(
    ("text", "args", "fits"),
    [
        ("def f(a, b): pass", 2, True),
        ("def f(a, b): pass", 1, False),
        ("def f(a, b): pass", 3, False),
        ("def f(a, b=1): pass", 1, True),
        ("def f(*a): pass", 7, True),
        ("def f(a, *, k): pass", 1, False),
        ("f = lambda a: a", 1, True),
        ("import numpy\nf = numpy.hypot", 2, True),
        ("import numpy\nf = numpy.hypot", 1, False),
        ("import functools\nf = functools.partial(pow, 2)", 1, True),
        ("class F:\n    def __call__(self, a): pass\nf = F()", 1, True),
        ("class F:\n    def __call__(self, a): pass\nf = F()", 2, False),
    ],
)
def test_the_number_of_arguments_is_checked(
    tmp_path: Path, text: str, args: int, fits: bool
) -> None:
    if fits:
        load.load(file(tmp_path, text + "\n"), "f", 0, args, ("float64",))
    else:
        e = refused(tmp_path, text + "\n", args=args)
        assert e.code == "arity"
        assert f"{args} argument" in e.message


@pytest.mark.parametrize("text", ["async def f(x): pass", "def f(x): yield x"])
def test_functions_that_are_not_plain_are_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text + "\n").code == "signature"


def test_wrong_declarations_are_refused() -> None:
    declarations: list[dict[str, Any]] = [
        {"version": 0},
        {"version": True},
        {"returns": "double"},
        {"returns": []},
        {"nulls": "drop"},
    ]
    for wrong in declarations:
        with pytest.raises(ValueError, match="function 'f'"):
            gorge.register("f", abs, **wrong)
    with pytest.raises(TypeError):
        gorge.register("f", 3)  # type: ignore[arg-type]
    gorge.register("f", abs)
    gorge.register("f", abs)
    with pytest.raises(ValueError, match="twice"):
        gorge.register("f", max)
    assert _registry.names() == ["f"]


def test_the_mask_of_any_column_can_be_asked() -> None:
    assert gorge.mask(np.arange(3)).tolist() == [False] * 3
    assert gorge.mask(np.ma.array([1, 2], mask=[True, False])).tolist() == [True, False]
