"""Functions for the Gorge stream processing engine.

A function is declared with :func:`udf` (or :func:`register`) in the file that
the pipeline names under ``functions``; the engine finds it by name and version.
This package declares; it runs nothing. ``gorge._worker`` is the process in
which the engine calls the functions, and private.
"""

from gorge._nulls import mask
from gorge._registry import Function, register, udf
from gorge._version import __version__

__all__ = ["Function", "__version__", "mask", "register", "udf"]
