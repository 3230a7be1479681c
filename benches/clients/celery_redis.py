"""Celery's `.delay()` on Redis, called in the event loop as applications do, in threads, or without an event loop.

Redis has the task in memory when the call returns: a promise weaker than that of the others.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from celery import Celery


@asynccontextmanager
async def connected(
    servers: str, topic: str, threads: int = 0, **settings: Any
) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Settings: how many threads (0: the loop's), and those of Celery; the topic becomes the queue."""
    with ThreadPoolExecutor(threads or 1) as pool, _task(servers, topic, settings) as task:

        async def publish(email: str, username: str, link: str) -> None:
            task.delay(email, username, link)
            await asyncio.sleep(0)  # or one coroutine would never let another have its turn

        loop = asyncio.get_running_loop()
        yield (lambda *event: loop.run_in_executor(pool, task.delay, *event)) if threads else publish


@contextmanager
def opened(servers: str, topic: str, **settings: Any) -> Iterator[tuple[Callable[..., Any], Callable[[], Any]]]:
    """Settings: those of Celery; `.delay()` always waits for Redis."""
    with _task(servers, topic, settings) as task:
        yield task.delay, lambda: None


@contextmanager
def _task(servers: str, topic: str, settings: dict[str, Any]) -> Iterator[Any]:
    app = Celery(broker=servers, set_as_current=False)
    app.conf.update(task_default_queue=topic, broker_connection_retry_on_startup=True, **settings)

    @app.task(name="user_verify_mail_event")
    def task(email: str, username: str, link: str) -> None:
        """Belongs to a worker; here it is only called with `.delay()`."""

    with app:
        yield task
