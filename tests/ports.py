"""Ports of loopback for tests that name one before anybody listens on it."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port where connections are refused until somebody listens on it by its number.

    It is bound all the time, so the kernel gives it to nobody who takes any port. Who names it gets
    it nevertheless, because both sides set SO_REUSEADDR.
    """
    with ExitStack() as held:
        port = 0
        while not port:
            port = _bound(held, socket.AF_INET, "127.0.0.1")
            try:
                _bound(held, socket.AF_INET6, "::1", port)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    port = 0
        yield port


def _bound(held: ExitStack, family: socket.AddressFamily, address: str, port: int = 0) -> int:
    holder = held.enter_context(socket.socket(family))
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((address, port))
    return int(holder.getsockname()[1])
