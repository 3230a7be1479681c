"""The pages ``/healthz``, ``/readyz`` and ``/metrics``.

They are served by threads, so that they answer while the event loop is busy, and they read native counters only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from socketserver import TCPServer
from threading import Event, Thread
from typing import TYPE_CHECKING

from kafka_email.cli.errors import MISCONFIGURED, Failed
from kafka_email.exceptions import NotStartedError
from kafka_email.worker.report import WorkerHealth, health_of

if TYPE_CHECKING:
    from kafka_email.worker import Worker

_SLOWEST_CLIENT_S = 5
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_NO_METRICS = b"the metrics need prometheus-client: pip install 'kafka-email[prometheus]'\n"


@contextmanager
def served(worker: Worker, host: str, port: int, draining: Event) -> Iterator[None]:
    """Serve the pages in this block.

    Raises:
        Failed: Nothing can listen there.
    """

    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in host else AF_INET
        daemon_threads = True
        # Python's own looks up the name of the host, which may take long.
        server_name, server_port = host, port

        def server_bind(self) -> None:
            TCPServer.server_bind(self)

    class Pages(_Pages):
        pages = _Answers(worker, draining)

    try:
        server = Server((host, port), Pages)
    except OSError as error:
        message = f"cannot listen on {host} port {port}: {error.strerror}: choose another KAFKA_WORKER_HEALTH_PORT"
        raise Failed(message, MISCONFIGURED) from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="kafka-email-pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Answers:
    def __init__(self, worker: Worker, draining: Event) -> None:
        self._worker = worker
        self._draining = draining
        self._generate = _generator(worker)

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        match path.partition("?")[0]:
            case "/metrics":
                if self._generate is None:
                    return HTTPStatus.NOT_IMPLEMENTED, _TEXT, _NO_METRICS
                return HTTPStatus.OK, _METRICS, self._generate()
            case "/healthz":
                health = self._health()
                status = HTTPStatus.INTERNAL_SERVER_ERROR if health.is_stuck else HTTPStatus.OK
            case "/readyz":
                health = self._health()
                is_ready = health.is_connected and not self._draining.is_set()
                status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
            case _:
                return HTTPStatus.NOT_FOUND, _TEXT, b"the pages are /healthz, /readyz and /metrics\n"
        return status, _JSON, json.dumps(health.as_dict()).encode()

    def _health(self) -> WorkerHealth:
        try:
            return health_of(self._worker.snapshot())
        except NotStartedError:  # the pages are there before the worker
            return WorkerHealth(healthy=False)


def _generator(worker: Worker) -> Callable[[], bytes] | None:
    """What writes the metrics; None without prometheus-client."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest

        from kafka_email.metrics import KafkaEmailWorkerCollector
    except ImportError:
        return None
    registry = CollectorRegistry()
    KafkaEmailWorkerCollector(worker, registry)
    return lambda: bytes(generate_latest(registry))


class _Pages(BaseHTTPRequestHandler):
    pages: _Answers
    server_version = "kafka-email"
    sys_version = ""
    timeout = _SLOWEST_CLIENT_S

    def do_GET(self) -> None:
        """Answer."""
        status, kind, body = self.pages.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Write nothing: probes come every few seconds."""
