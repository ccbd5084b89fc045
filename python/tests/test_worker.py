"""The worker as a process, met as the engine meets it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import FIXTURES
from gorge import __version__
from gorge._worker import logs, protocol

SOURCE = Path(__file__).parents[1] / "src"


def meet(
    order: dict[str, Any], env: dict[str, str] | None = None
) -> tuple[dict[str, Any], int, str]:
    """Start a worker, give it an order and return its answer, exit code and standard error."""
    layout = json.loads((FIXTURES / "layout.json").read_text())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = (
        "from gorge._worker import main; main.SOCKET = int(__import__('sys').argv[1]); main.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(theirs.fileno())],
        env={"PYTHONPATH": str(SOURCE)} | (env or {}),
        pass_fds=[theirs.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    )
    theirs.close()
    ours.settimeout(30)
    hello = json.loads(ours.recv(protocol.MAX_MESSAGE))
    assert (hello["type"], hello["protocol"]) == ("hello", protocol.PROTOCOL)
    assert hello["version"] == __version__
    fds = [os.memfd_create("input"), os.memfd_create("output")]
    for fd, area in zip(fds, (layout["input"], layout["output"]), strict=True):
        os.ftruncate(fd, area["size"])
    message = {
        "type": "open",
        "protocol": protocol.PROTOCOL,
        "version": __version__,
        "function": "f",
        "function_version": 0,
        "layout": layout,
    } | order
    socket.send_fds(ours, [json.dumps(message).encode()], fds)
    answer = json.loads(ours.recv(protocol.MAX_MESSAGE))
    ours.close()
    for fd in fds:
        os.close(fd)
    _, stderr = process.communicate(timeout=30)
    return answer, process.returncode, stderr


KINDS = ["bool", "int32", "int64", "float32", "float64", "string", "binary", "timestamp"]


def test_a_worker_gets_ready_and_ends_with_its_engine(tmp_path: Path) -> None:
    path = tmp_path / "user.py"
    path.write_text(
        "import gorge\nprint('hello')\n"
        f"@gorge.udf(version=5, returns={KINDS!r})\ndef f(*columns): return columns\n"
    )
    answer, code, stderr = meet({"file": str(path)})
    assert (answer["type"], answer["version"]) == ("ready", 5)
    assert (code, stderr) == (0, "")


def test_a_worker_refuses_what_it_cannot_serve(tmp_path: Path) -> None:
    path = tmp_path / "user.py"
    path.write_text("def g(x): pass\n")
    answer, code, _ = meet({"file": str(path)})
    assert (answer["type"], answer["code"], answer["names"]) == (
        "refused",
        "function_missing",
        ["g"],
    )
    assert code == 0


def test_a_worker_refuses_another_engine(tmp_path: Path) -> None:
    for order in ({"version": "0.0.1"}, {"protocol": 2}):
        answer, _, _ = meet({"file": str(tmp_path)} | order)
        assert (answer["type"], answer["code"]) == ("refused", "protocol")


def test_a_worker_without_numpy_says_so(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('not here')\n")
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"}
    answer, _, _ = meet({"file": str(tmp_path / "user.py")}, env)
    assert (answer["code"], answer["message"]) == ("numpy_missing", "ImportError: not here")


@pytest.mark.parametrize("size", [0, 10, 5000, 100_000])
def test_a_log_record_is_one_line_that_a_pipe_keeps_whole(size: int) -> None:
    line = logs.record_line(30, "my.logger" * 50, "ü\n" * size)
    assert len(line) <= logs.PIPE_BUF
    assert line.startswith(b"\x1e")
    assert line.count(b"\n") == 1
    record = json.loads(line[1:])
    assert record["level"] == 30
    assert ("ü\n" * size).startswith(record["message"])
