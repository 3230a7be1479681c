"""How classes of this package look to FastAPI's ``Depends``."""

from __future__ import annotations

from inspect import Signature
from typing import Any


class NoParameters:
    """The ``__signature__`` of a class whose parameters are for the application to give, not for its HTTP clients.

    FastAPI fills the parameters of a dependency from the request: without this, ``Depends(EmailPublisher)`` lets any
    client choose the topic. A subclass with a constructor of its own has its own signature.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._constructor = owner.__init__  # type: ignore[misc]

    def __get__(self, instance: Any, owner: type) -> Signature:
        if instance is None and owner.__init__ is self._constructor:  # type: ignore[misc]
            return Signature()
        raise AttributeError("__signature__")
