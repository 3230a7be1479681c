"""The end of child processes that do not run the handlers of ``atexit``."""

from __future__ import annotations

import sys
from collections.abc import Callable


def flush_at_end_of_child(flush: Callable[[], None]) -> None:
    """Let a child process of multiprocessing, or of billiard (Celery's prefork), flush before it ends.

    Such a child ends by ``os._exit``: it runs the finalizers of its own package, and not the handlers of ``atexit``.
    """
    for package in ("multiprocessing", "billiard"):
        process, util = sys.modules.get(f"{package}.process"), sys.modules.get(f"{package}.util")
        if process is None or util is None or getattr(process.current_process(), "_parent_pid", None) is None:
            continue
        # Before the finalizers of queues, and before it waits for children of its own.
        util.Finalize(None, flush, exitpriority=100)
