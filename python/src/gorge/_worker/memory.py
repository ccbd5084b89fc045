"""The two memories that engine and worker share, and their control words.

Each side writes one memory only: the input is mapped read-only here, so that
not even a stray pointer of a native extension can change what the engine sent.
"""

from __future__ import annotations

import mmap
import threading

from gorge._worker.protocol import CONTROL, Layout


class Memory:
    """Both memories, mapped."""

    def __init__(self, layout: Layout, input_fd: int, output_fd: int) -> None:
        self.layout = layout
        self.input = mmap.mmap(input_fd, layout.input.size, mmap.MAP_SHARED, mmap.PROT_READ)
        self.output = mmap.mmap(
            output_fd, layout.output.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        )
        self.input_words = memoryview(self.input)[:CONTROL].cast("Q")
        self.output_words = memoryview(self.output)[:CONTROL].cast("Q")

    def input_at(self, slot: int) -> int:
        """Return where an input slot begins."""
        return CONTROL + slot * self.layout.input.stride

    def output_at(self, slot: int) -> int:
        """Return where a result slot begins."""
        return CONTROL + slot * self.layout.output.stride


_lock = threading.Lock()


def fence() -> None:
    """Order all earlier reads and writes of this thread before all later ones.

    Python has no fence of its own; taking and giving back a free lock contains
    one on every machine that CPython supports.
    """
    _lock.acquire()
    _lock.release()
