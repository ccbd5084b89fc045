"""A worker's memory, filled from the fixtures that the engine's tests check as well."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gorge import _registry
from gorge._worker import protocol
from gorge._worker.memory import Memory
from gorge._worker.protocol import Layout

FIXTURES = Path(__file__).parents[2] / "api" / "fixtures" / "udf"


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    _registry.clear()
    yield
    _registry.clear()


@pytest.fixture
def layout() -> Layout:
    return protocol.parse_layout(json.loads((FIXTURES / "layout.json").read_text()))


class Engine:
    """The engine's side of a memory."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        fds = [os.memfd_create("input"), os.memfd_create("output")]
        os.ftruncate(fds[0], layout.input.size)
        os.ftruncate(fds[1], layout.output.size)
        self.input = mmap.mmap(fds[0], layout.input.size)
        self.memory = Memory(layout, *fds)
        for fd in fds:
            os.close(fd)

    def write(self, slot: int, content: bytes) -> None:
        at = self.memory.input_at(slot)
        self.input[at : at + len(content)] = content

    def result(self, slot: int) -> bytes:
        at = self.memory.output_at(slot)
        return bytes(self.memory.output[at : at + self.layout.output.stride])


@pytest.fixture
def engine(layout: Layout) -> Engine:
    return Engine(layout)
