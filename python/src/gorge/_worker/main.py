"""Start-up: meet the engine, load the function, serve."""

from __future__ import annotations

import faulthandler
import os
import resource
import socket
import sys

from gorge._version import __version__
from gorge._worker import load, logs, protocol
from gorge._worker.protocol import Open, ProtocolError

SOCKET = 3
"""The descriptor on which the engine hands over its end of the conversation."""


def main() -> None:
    """Run a worker; it ends with its engine or at its order."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.set_inheritable(SOCKET, False)
    sock = socket.socket(fileno=SOCKET)
    logs.install()
    faulthandler.enable()
    version = ".".join(map(str, sys.version_info[:3]))
    sock.send(
        protocol.encode("hello", protocol=protocol.PROTOCOL, version=__version__, python=version)
    )
    message, fds, _, _ = socket.recv_fds(sock, protocol.MAX_MESSAGE, 2)
    if not message:
        return
    try:
        serve(sock, protocol.parse_open(message), fds)
    except ProtocolError as e:
        sock.send(protocol.encode("refused", code="protocol", message=str(e)))
    except load.Refused as e:
        sock.send(protocol.encode("refused", code=e.code, message=e.message, **e.fields))


def serve(sock: socket.socket, order: Open, fds: list[int]) -> None:
    """Load the function of an order and serve it.

    Raises:
        load.Refused: It cannot be served.
        ProtocolError: The order makes no sense.
    """
    if order.version != __version__:
        raise ProtocolError(f"engine has version {order.version}, this worker {__version__}")
    if len(fds) != 2:
        raise ProtocolError(f"open message carries {len(fds)} descriptors, 2 are due")
    load.needs_numpy()
    from gorge._worker.loop import Server
    from gorge._worker.memory import Memory

    layout = order.layout
    memory = Memory(layout, *fds)
    for fd in fds:
        os.close(fd)
    function = load.load(
        order.file,
        order.function,
        order.function_version,
        len(layout.input.columns),
        tuple(c.kind for c in layout.output.columns),
    )
    server = Server(memory, function)
    sock.send(protocol.encode("ready", version=function.version))
    server.serve(sock)
