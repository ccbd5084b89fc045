"""The bytes of the wire are those of the contract."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import numpy as np
import pytest

import gorge
from conftest import FIXTURES, Engine
from gorge._registry import Function
from gorge._worker import protocol
from gorge._worker.columns import Argument
from gorge._worker.errors import Failure
from gorge._worker.loop import Server, encode_failures
from gorge._worker.protocol import ProtocolError

TEXTS = [
    "",
    "a",
    "twelve bytes",
    "thirteen bytes",
    "größer",
    "日本語のテキスト",
    "x",
    "",
    "tab\there",
    "end",
]
COLUMNS: list[list[Any]] = [
    [i % 3 == 0 for i in range(10)],
    [-5 + 1000 * i for i in range(10)],
    [-5 + 10**15 * i for i in range(10)],
    [i / 4 for i in range(10)],
    [i / 8 for i in range(10)],
    TEXTS,
    [b"\xff\x00" + t.encode() for t in reversed(TEXTS)],
    [1_700_000_000_000_000 + i for i in range(10)],
]


def is_null(column: int, row: int) -> bool:
    return column < 7 and row == 3 + column


def test_arguments_are_those_that_the_engine_wrote(engine: Engine) -> None:
    engine.write(1, (FIXTURES / "input_slot.bin").read_bytes())
    at = engine.memory.input_at(1)
    sequence, n, millis, nulls = protocol.INPUT_HEADER.unpack_from(engine.memory.input, at)
    assert (sequence, n, millis, nulls) == (7, 10, 2000, 0b0111_1111)
    for c, column in enumerate(engine.layout.input.columns):
        argument = Argument(engine.memory, column)
        values = argument.read(1, n)
        assert not values.flags.writeable
        if column.kind == "timestamp":
            assert values.dtype == np.dtype("M8[us]")
            values = values.view(np.int64)
        valid = argument.valid(1, n).tolist() if nulls >> c & 1 else [True] * n
        assert valid == [not is_null(c, i) for i in range(n)]
        for i, value in enumerate(values.tolist()):
            if valid[i]:
                assert value == COLUMNS[c][i]


def test_a_result_has_the_bytes_that_the_engine_reads(engine: Engine) -> None:
    def function(*columns: Any) -> Any:
        assert [gorge.mask(c).sum() for c in columns] == [len(columns[0]) == 10] * 7 + [False]
        return columns

    engine.write(1, (FIXTURES / "input_slot.bin").read_bytes())
    server = Server(engine.memory, Function("f", function, nulls="mask"))
    server.answer(7)
    want = (FIXTURES / "result_slot.bin").read_bytes()
    got = engine.result(1)
    header = protocol.RESULT_HEADER
    assert header.unpack_from(got) == (7, 10, protocol.DONE, 0b0111_1111, 0)
    for c, column in enumerate(engine.layout.output.columns):
        if c < 7:
            assert got[column.validity :][:2] == want[column.validity :][:2]
        if column.bytes:
            end = int.from_bytes(want[column.values + 40 : column.values + 44], "little")
            assert (
                got[column.values : column.values + 44] == want[column.values : column.values + 44]
            )
            assert got[column.bytes : column.bytes + end] == want[column.bytes : column.bytes + end]
        else:
            width = {"bool": 1, "int32": 4, "float32": 4}.get(column.kind, 8)
            assert got[column.values :][: 10 * width] == want[column.values :][: 10 * width]


def test_failures_have_the_bytes_that_the_engine_reads(engine: Engine) -> None:
    want = (FIXTURES / "result_slot.bin").read_bytes()
    size = protocol.RESULT_HEADER.unpack_from(want)[4]
    layout = engine.layout
    errors = json.loads(want[layout.errors : layout.errors + size])
    failures = [Failure(e["code"], e["message"], e.get("traceback", "")) for e in errors]
    encoded = json.loads(encode_failures(failures, layout.errors_cap))
    assert [{k: v for k, v in e.items() if v} for e in encoded] == errors

    def function(*columns: Any) -> Any:
        bad = columns[2] >= COLUMNS[2][8]
        if bad.any():
            raise ValueError("no")
        return columns

    engine.write(1, (FIXTURES / "input_slot.bin").read_bytes())
    Server(engine.memory, Function("f", function, nulls="mask")).answer(7)
    got = engine.result(1)
    _, _, status, _, size = protocol.RESULT_HEADER.unpack_from(got)
    assert status == protocol.SOME_FAILED
    rows = np.frombuffer(got, "<u2", 10, layout.row_errors)
    assert rows.tolist() == [0] * 8 + [1, 1]
    (failure,) = json.loads(got[layout.errors : layout.errors + size])
    assert failure["message"] == "ValueError: no"


def test_failures_keep_their_places_when_there_is_no_room() -> None:
    failures = [Failure("exception", f"{i} " + "ü" * 500, "t" * 3000) for i in range(256)]
    encoded = encode_failures(failures, 64 * 1024)
    assert len(encoded) <= 64 * 1024
    decoded = json.loads(encoded)
    assert len(decoded) == 256
    assert decoded[0]["traceback"] == failures[0].traceback
    assert decoded[255]["code"] == "exception"


def test_texts_that_do_not_fit_are_reported(engine: Engine) -> None:
    def function(*columns: Any) -> Any:
        return (*columns[:5], ["x" * 26] * len(columns[0]), *columns[6:])

    engine.write(1, (FIXTURES / "input_slot.bin").read_bytes())
    Server(engine.memory, Function("f", function, nulls="mask")).answer(7)
    assert protocol.RESULT_HEADER.unpack_from(engine.result(1))[2] == protocol.TOO_LARGE


def test_the_loop_answers_sleeps_and_stops(engine: Engine) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = Server(engine.memory, Function("f", lambda *c: c))
    thread = threading.Thread(target=server.serve, args=(theirs,))
    thread.start()
    words = memoryview(engine.input)[: protocol.CONTROL].cast("Q")
    words[protocol.ENGINE_PARKED] = 1
    for sequence in range(5):
        slot = bytearray((FIXTURES / "input_slot.bin").read_bytes())
        slot[:8] = sequence.to_bytes(8, "little")
        engine.write(sequence % 2, bytes(slot))
        words[protocol.PUBLISHED] = sequence + 1
        ours.send(protocol.WAKE)
        ours.settimeout(10)
        assert ours.recv(64) == protocol.WAKE
        assert engine.memory.output_words[protocol.COMPLETED] == sequence + 1
        assert protocol.RESULT_HEADER.unpack_from(engine.result(sequence % 2))[0] == sequence
    words[protocol.STOP] = 1
    ours.send(protocol.WAKE)
    thread.join(10)
    assert not thread.is_alive()


def test_the_loop_ends_when_the_engine_is_gone(engine: Engine) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    Server(engine.memory, Function("f", lambda *c: c)).serve(theirs)


def test_an_open_message_is_read() -> None:
    layout = json.loads((FIXTURES / "layout.json").read_text())
    message = {
        "type": "open",
        "protocol": 1,
        "version": "1",
        "file": "/a.py",
        "function": "f",
        "function_version": 2,
        "layout": layout,
    }
    order = protocol.parse_open(json.dumps(message).encode())
    assert (order.file, order.function, order.function_version) == ("/a.py", "f", 2)
    assert order.layout.input.columns[5].bytes_cap == 256
    changes: list[dict[str, Any]] = [
        {"type": "shut"},
        {"protocol": 2},
        {"layout": {}},
        {"function_version": "x"},
    ]
    for wrong in changes:
        with pytest.raises(ProtocolError):
            protocol.parse_open(json.dumps(message | wrong).encode())
    with pytest.raises(ProtocolError):
        protocol.parse_open(b"no JSON")


def test_messages_are_cut_to_a_datagram() -> None:
    message = protocol.encode("refused", code="import", message="m", traceback="t" * 200_000)
    assert len(message) <= protocol.MAX_MESSAGE
    assert json.loads(message)["code"] == "import"
