"""Free TCP ports on loopback."""

import random
import socket

HOST = "127.0.0.1"

# Below the ports that systems hand to outgoing connections (32768 and up on Linux): while a server is down for a
# restart, no client can be given the server's port as its own.
_CANDIDATES = range(20000, 32000)
_given: set[int] = set()


def free_port() -> int:
    """A port that nothing listens on, and that this process was not given before."""
    while True:
        port = random.choice(_CANDIDATES)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
