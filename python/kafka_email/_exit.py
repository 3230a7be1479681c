"""The end of child processes that do not run the handlers of ``atexit``."""

from __future__ import annotations

import sys
from collections.abc import Callable


def flush_at_end_of_child(flush: Callable[[], None]) -> None:
    """Let a child process of multiprocessing, of billiard, or of Celery's prefork pool flush before it ends.

    Such a child ends by ``os._exit`` and does not run the handlers of ``atexit``. A process of multiprocessing or
    billiard runs the finalizers of its package; one of Celery's pool sends the signal ``worker_process_shutdown``.
    """
    for package in ("multiprocessing", "billiard"):
        process, util = sys.modules.get(f"{package}.process"), sys.modules.get(f"{package}.util")
        if process is None or util is None or getattr(process.current_process(), "_parent_pid", None) is None:
            continue
        # Before the finalizers of queues, and before it waits for children of its own.
        util.Finalize(None, flush, exitpriority=100)
        celery = sys.modules.get("celery.signals")
        if package == "billiard" and celery is not None:
            celery.worker_process_shutdown.connect(lambda **_: flush(), weak=False, dispatch_uid=__name__)
