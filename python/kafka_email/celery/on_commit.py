"""Publishing after Django commits the current transaction, as Celery's Django task does."""

from __future__ import annotations

from functools import partial
from typing import Any, Generic, ParamSpec

P = ParamSpec("P")


class OnCommit(Generic[P]):
    """Adds to ``delay`` and ``apply_async`` their forms that wait for the commit."""

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Publish the event of a call."""
        raise NotImplementedError

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Publish the event of a call, with options."""
        raise NotImplementedError

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call ``delay`` when the transaction commits; at once where none is open, never after a rollback."""
        from django.db import transaction

        transaction.on_commit(partial(self.delay, *args, **kwargs))

    def apply_async_on_commit(self, *args: Any, **options: Any) -> None:
        """Call ``apply_async`` when the transaction commits; at once where none is open, never after a rollback."""
        from django.db import transaction

        transaction.on_commit(partial(self.apply_async, *args, **options))
