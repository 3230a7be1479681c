"""The delivery worker, as an application holds it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from kafka_email import _logging
from kafka_email._dependency import NoParameters
from kafka_email._wakeup import running_loop
from kafka_email.config import SmtpConfig, WorkerConfig
from kafka_email.exceptions import ConfigurationError, KafkaError, NotStartedError
from kafka_email.worker.plan import Plan, make_mailer, make_plan
from kafka_email.worker.registry import Handler, Registry
from kafka_email.worker.report import DrainReport, Ending, WorkerHealth, health_of
from kafka_email.worker.run import Run

if TYPE_CHECKING:
    from typing_extensions import Self

    from kafka_email._core import Mailer, WorkerSnapshot
    from kafka_email.config import KafkaConfig

__all__ = ["Worker"]

_HandlerT = TypeVar("_HandlerT", bound=Handler)


class Worker:
    """Consumes the e-mail topics as a member of a consumer group, and delivers each mail by SMTP or by a handler.

    Use it as an asynchronous context manager, or call :meth:`start` and :meth:`stop`. A process may have several.

    Args:
        config: Settings of the worker; from the environment when None.
        kafka: Settings of the connection to Kafka; ``kafka_config`` when None.
        smtp: Settings of the mail server; from the environment when None. Not used with ``mail_folder``.
    """

    __signature__ = NoParameters()

    def __init__(
        self,
        config: WorkerConfig | None = None,
        *,
        kafka: KafkaConfig | None = None,
        smtp: SmtpConfig | None = None,
    ) -> None:
        self._config = config
        self._kafka = kafka
        self._smtp = smtp
        self._registry = Registry()
        self._run: Run | None = None

    def handler(self, email_type: str) -> Callable[[_HandlerT], _HandlerT]:
        """Register a function for the events of one type, as a decorator: ``@worker.handler("invoice")``.

        The function, async or not, gets an :class:`EmailEvent` and a :class:`Context`. It returns a :class:`Mail` for
        the worker to send, or None when it has delivered the mail itself; it may raise :class:`Retry`,
        :class:`Permanent` or :class:`Drop`.

        Args:
            email_type: The type: the header ``ce_type``, or the name of the topic for records without that header.

        Raises:
            TypeError: The function does not take two arguments.
            ValueError: The type has a handler or a template already.
            RuntimeError: The worker runs already.
        """

        def register(handler: _HandlerT) -> _HandlerT:
            self._check_not_running()
            self._registry.add_handler(email_type, handler)
            return handler

        return register

    def template(self, email_type: str, *, subject: str, html: str | None = None, text: str | None = None) -> None:
        """Name the files of the templates for one type of event.

        Args:
            email_type: The type.
            subject: The subject itself, which may be a template.
            html: Name of the file with the HTML in the folder ``templates``.
            text: Name of the file with the text there. One of the two may be absent.

        Raises:
            ValueError: Neither file is named, or the type has a handler or a template already.
            RuntimeError: The worker runs already.
        """
        self._check_not_running()
        self._registry.add_template(email_type, html=html, text=text, subject=subject)

    async def start(self) -> None:
        """Start to deliver. Does nothing when started already; concurrent calls start once.

        If Kafka or the mail server is out of reach, the worker waits for it, and this returns. Handlers run on the
        event loop of the first call. Cancelling all calls gives the worker up.

        Raises:
            ConfigurationError: A mistake was found: in a template, in the configuration, or by the mail server, which
                offers no STARTTLS, has a certificate that is not trusted, or refuses the credentials. Says what to do.
            AuthenticationError: A token provider failed.
            pydantic.ValidationError: The environment is not valid.
            RuntimeError: No event loop of asyncio or uvloop runs.
        """
        running_loop()
        run = self._living_run()
        if run is None:
            plan = await self._make_plan()
            # Another call may have been faster.
            run = self._living_run() or Run(plan)
            self._run = run
        run.callers += 1
        try:
            await _started(run)
        except asyncio.CancelledError:
            run.callers -= 1
            if run.callers == 0 and run.is_alive:
                run.abort()
            raise

    async def _make_plan(self) -> Plan:
        config, smtp = self.config, self.smtp
        variables = [*config.borrowed_variables, *(smtp.borrowed_variables if smtp is not None else ())]
        if variables:
            message = f"configured by variables of other programs: {', '.join(variables)}"
            _logging.log_worker(logging.INFO, "foreign_variables", message, variables=variables)
        return await make_plan(self._registry, config, self.kafka, smtp)

    async def stop(self, timeout: float | None = None) -> DrainReport:
        """Start no new record, let the records at work finish, commit, and end.

        Never raises. Without a start, or the second time, it does nothing. Cancelling the await does not keep the
        worker running.

        Args:
            timeout: Seconds, after which the records at work are cut off; ``drain_timeout_s`` when None.
        """
        began = time.monotonic()
        run = self._living_run()
        if run is None:
            return DrainReport(finished=0, abandoned=0, elapsed_s=0.0)
        run.drain()
        try:
            # Without a timeout of the caller, the native half keeps the time.
            ending = await asyncio.wait_for(run.wait_ended(), timeout)
        except asyncio.TimeoutError:
            run.abort()
            ending = await run.wait_ended()
        return DrainReport(ending.finished, ending.abandoned, elapsed_s=time.monotonic() - began)

    def abort(self) -> None:
        """Cut off the records at work and end, in the background. Does nothing when the worker does not run."""
        run = self._living_run()
        if run is not None:
            run.abort()

    async def wait_ended(self) -> Ending:
        """Wait until the worker has ended, by :meth:`stop`, by :meth:`abort`, or by itself.

        Raises:
            NotStartedError: ``start()`` was not called, or not in this process.
        """
        return await self._run_of_this_process().wait_ended()

    async def health(self) -> WorkerHealth:
        """Return the health of the worker. No I/O: it never waits; never raises."""
        run = self._living_run()
        return WorkerHealth(healthy=False) if run is None else health_of(run.snapshot())

    def snapshot(self) -> WorkerSnapshot:
        """Return counters and gauges, for metrics.

        Raises:
            NotStartedError: ``start()`` was not called, or not in this process.
        """
        return self._run_of_this_process().snapshot()

    @property
    def handled_types(self) -> frozenset[str]:
        """The types of event that have a handler."""
        return frozenset(self._registry.handlers)

    @property
    def config(self) -> WorkerConfig:
        """The settings; from the environment, at the time of the call, unless they were given.

        Raises:
            pydantic.ValidationError: The environment is not valid.
        """
        return self._config or WorkerConfig()

    @property
    def kafka(self) -> KafkaConfig:
        """The settings of the connection to Kafka; ``kafka_config`` unless they were given.

        Raises:
            pydantic.ValidationError: The environment is not valid.
        """
        return self._kafka or _default_kafka_config()

    @property
    def smtp(self) -> SmtpConfig | None:
        """The settings of the mail server; from the environment unless they were given, None with ``mail_folder``.

        Raises:
            pydantic.ValidationError: The environment is not valid.
        """
        return None if self.config.mail_folder is not None else self._smtp or SmtpConfig()

    def native_mailer(self) -> Mailer:
        """Return what renders the mails of this worker; for ``kafka_email.testing``.

        Raises:
            ConfigurationError: A template has a mistake.
            pydantic.ValidationError: The environment is not valid.
        """
        return make_mailer(self._registry, self.config)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _living_run(self) -> Run | None:
        run = self._run
        return run if run is not None and run.is_alive else None

    def _run_of_this_process(self) -> Run:
        run = self._run
        if run is None or run.is_inherited:
            why = (
                "it was forked from one whose worker was started" if run is not None else "call `await worker.start()`"
            )
            raise NotStartedError(f"the worker is not started in this process: {why}", code="NOT_STARTED")
        return run

    def _check_not_running(self) -> None:
        if self._living_run() is not None:
            raise RuntimeError("the worker runs already: register handlers and templates before start()")


async def _started(run: Run) -> None:
    """Wait for the start.

    Raises:
        KafkaError: The worker has ended instead.
    """
    # Shielded: to cancel one that waits must not cancel what others wait for.
    ending = await asyncio.shield(asyncio.wrap_future(run.start))
    if ending is not None:
        raise _not_started(ending)


def _not_started(ending: Ending) -> KafkaError:
    if ending.how == "misconfigured":
        return ConfigurationError(ending.reason or "", code="INVALID_CONFIG")
    if ending.how == "gave_up":
        return KafkaError(ending.reason or "")
    return NotStartedError("the worker was stopped while it started", code="NOT_STARTED")


def _default_kafka_config() -> KafkaConfig:
    from kafka_email.config import kafka_config

    return kafka_config
