"""The loop: take the next batch, call, write the result, sleep when there is none."""

from __future__ import annotations

import json
import os
import socket
import struct

import numpy as np

from gorge._registry import Function
from gorge._worker import protocol
from gorge._worker.columns import Argument, Array, Mask
from gorge._worker.errors import Failure
from gorge._worker.isolate import Caller, Outcome, arguments
from gorge._worker.memory import Memory, fence
from gorge._worker.results import Result, TooLargeError

POLL_SECONDS = 0.1
"""How long a sleep lasts at most: the net under a wake-up that was lost."""


class Server:
    """Serves one function over one pair of memories."""

    def __init__(self, memory: Memory, function: Function) -> None:
        layout = memory.layout
        self._memory = memory
        self._mask = function.nulls == "mask"
        self._arguments = [Argument(memory, c) for c in layout.input.columns]
        self._views = [self._plain(slot) for slot in range(layout.slots)]
        results = [Result(function.name, c) for c in layout.output.columns]
        self._writers = [r.writer(memory) for r in results]
        self._caller = Caller(function, results)
        self._call = function.call
        self._dtype = results[0].dtype
        # Where the only result goes when it needs no more than a copy; none otherwise.
        simple = len(results) == 1 and not results[0].text
        self._direct = self._writers[0].values if simple else []

    def serve(self, sock: socket.socket) -> None:
        """Answer batches until the engine asks to stop or is gone."""
        seconds = int(POLL_SECONDS)
        micros = int((POLL_SECONDS - seconds) * 1e6)
        timeout = struct.pack("@ll", seconds, micros)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        engine = os.getppid()
        given, answered = self._memory.input_words, self._memory.output_words
        done = 0
        while True:
            if given[protocol.PUBLISHED] == done:
                if given[protocol.STOP] or not self._sleep(sock, done, engine):
                    return
                continue
            fence()
            self.answer(done)
            done += 1
            fence()
            answered[protocol.COMPLETED] = done
            fence()
            if given[protocol.ENGINE_PARKED]:
                _wake(sock)

    def _plain(self, slot: int) -> list[Array]:
        """Return the views of a slot when every argument is a view, else nothing."""
        views = [v for a in self._arguments if (v := a.view(slot)) is not None]
        return views if len(views) == len(self._arguments) else []

    def _sleep(self, sock: socket.socket, done: int, engine: int) -> bool:
        """Sleep until there may be something to do; False when the engine is gone."""
        given, answered = self._memory.input_words, self._memory.output_words
        answered[protocol.WORKER_PARKED] = 1
        fence()
        alive = True
        if given[protocol.PUBLISHED] == done and not given[protocol.STOP]:
            try:
                alive = sock.recv(64) != b""
            except (BlockingIOError, InterruptedError):
                alive = os.getppid() == engine
            except OSError:
                alive = False
        answered[protocol.WORKER_PARKED] = 0
        return alive

    def answer(self, sequence: int) -> None:
        """Answer one batch."""
        slot = sequence % self._memory.layout.slots
        at = self._memory.input_at(slot)
        _, n, millis, nulls = protocol.INPUT_HEADER.unpack_from(self._memory.input, at)
        views = self._views[slot]
        args = [v[:n] for v in views] if views else [a.read(slot, n) for a in self._arguments]
        if nulls or not self._direct:
            self._write(slot, sequence, n, self._outcome(args, slot, n, nulls, millis / 1000))
            return
        # The common case, without a detour: no nulls, one result, of the right shape.
        try:
            value = self._call(*args)
        except BaseException as e:
            self._write(slot, sequence, n, self._caller.failed(e, args, n, millis / 1000))
            return
        if type(value) is np.ndarray and value.dtype is self._dtype and value.shape == (n,):
            self._direct[slot][:n] = value
            at = self._memory.output_at(slot)
            protocol.RESULT_HEADER.pack_into(
                self._memory.output, at, sequence, n, protocol.DONE, 0, 0
            )
        else:
            outcome = self._caller.checked(value, args, n, millis / 1000)
            self._write(slot, sequence, n, outcome)

    def _outcome(self, args: list[Array], slot: int, n: int, nulls: int, timeout: float) -> Outcome:
        valid: Mask | None = None
        if nulls:
            columns = [i for i in range(len(args)) if nulls >> i & 1]
            masks = {i: self._arguments[i].valid(slot, n) for i in columns}
            if self._mask:
                args = arguments(args, {i: ~m for i, m in masks.items()})
            else:
                valid = np.logical_and.reduce(list(masks.values()))
        return self._caller.call(args, n, valid, timeout)

    def _write(self, slot: int, sequence: int, n: int, outcome: Outcome) -> None:
        status, nulls, errors = protocol.DONE, 0, b""
        layout, output = self._memory.layout, self._memory.output
        at = self._memory.output_at(slot)
        try:
            for i, writer in enumerate(self._writers):
                nulls |= writer.write(slot, n, outcome.parts[i]) << i
        except TooLargeError:
            status = protocol.TOO_LARGE
        if outcome.failed is not None and status == protocol.DONE:
            status = protocol.SOME_FAILED
            errors = encode_failures(outcome.failures, layout.errors_cap)
            start = at + layout.row_errors
            output[start : start + 2 * n] = outcome.failed.astype("<u2").tobytes()
            start = at + layout.errors
            output[start : start + len(errors)] = errors
        protocol.RESULT_HEADER.pack_into(output, at, sequence, n, status, nulls, len(errors))


def encode_failures(failures: list[Failure], cap: int) -> bytes:
    """Return the failures as a JSON array of at most cap bytes.

    Every failure keeps its place: where the room is short the later ones lose
    their traceback, then their text.
    """
    out: list[bytes] = []
    used = 2
    for left, f in zip(range(len(failures) - 1, -1, -1), failures, strict=True):
        room = cap - used - left * 64  # 64 bytes are enough for a failure without its text
        for text in (
            {"code": f.code, "message": f.message, "traceback": f.traceback},
            {"code": f.code, "message": f.message[:100]},
            {"code": f.code, "message": ""},
        ):
            line = json.dumps(text).encode()
            if len(line) + 1 <= room:
                break
        out.append(line)
        used += len(line) + 1
    return b"[" + b",".join(out) + b"]"


def _wake(sock: socket.socket) -> None:
    try:
        sock.send(protocol.WAKE, socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass  # the engine has unread messages, which wake it as well
    except OSError:
        pass  # the engine is gone; the next sleep finds out
