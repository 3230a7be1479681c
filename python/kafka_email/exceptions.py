"""The errors of a publish, a start and a health check, sorted by what the caller should do.

::

    KafkaError (Exception)
    ├── try later
    │   ├── KafkaConnectionError (ConnectionError)   no broker can be reached
    │   ├── KafkaTimeoutError (TimeoutError)         no acknowledgement within the deadline
    │   └── QueueFullError                           the local queue stayed full up to the deadline
    ├── fix it
    │   ├── MessageTooLargeError (ValueError)        larger than the client or the broker allows
    │   ├── UnknownTopicError                        the topic does not exist and is not created by itself
    │   ├── AuthorizationError                       the broker knows the client and refuses
    │   ├── AuthenticationError                      the broker does not accept the credentials
    │   └── ConfigurationError                       the configuration cannot work
    └── start (again)
        ├── NotStartedError (RuntimeError)           ``start()`` was not called in this process
        ├── ProducerClosedError (RuntimeError)       ``stop()`` was called
        └── ProducerFatalError                       librdkafka gave up; a new producer is built by itself

An event that is not valid is Pydantic's ``ValidationError``, as it always was. The class is chosen by Kafka's error
code, never by a text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from kafka_email._schema import schema_of

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = [
    "AuthenticationError",
    "AuthorizationError",
    "ConfigurationError",
    "KafkaConnectionError",
    "KafkaError",
    "KafkaTimeoutError",
    "MessageTooLargeError",
    "NotStartedError",
    "ProducerClosedError",
    "ProducerFatalError",
    "QueueFullError",
    "UnknownTopicError",
]


@dataclass(frozen=True)
class _Form:
    """A ``KafkaError`` as JSON."""

    error: str
    message: str
    code: str
    retriable: bool
    maybe_delivered: bool
    topic: str | None
    event_id: str | None


_Form.__name__ = "KafkaError"  # what API documentation shows


class KafkaError(Exception):
    """Base of all errors of this package.

    Attributes:
        error: Name of its class.
        message: What happened; it may name brokers, and holds no secret and no personal data.
        code: Kafka's name of the error, such as ``REQUEST_TIMED_OUT``
            (https://kafka.apache.org/protocol#protocol_error_codes).
        retriable: Whether trying again may help.
        maybe_delivered: Whether the event may be stored in spite of the error. Publishing it again may then store it
            twice; consumers drop duplicates by the ``ce_id`` header only within one publish.
        topic: Topic of the event, if the error is about one event.
        event_id: The ``ce_id`` of the event, if the error is about one event.
    """

    # As a dataclass has them: what writes dataclasses as JSON, FastAPI and Flask say, writes what `as_dict` returns.
    __dataclass_fields__: ClassVar[dict[str, Any]] = _Form.__dataclass_fields__
    __dataclass_params__: ClassVar[Any] = vars(_Form)["__dataclass_params__"]

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "UNKNOWN_SERVER_ERROR",
        retriable: bool = False,
        maybe_delivered: bool = False,
        topic: str | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retriable = retriable
        self.maybe_delivered = maybe_delivered
        self.topic = topic
        self.event_id = event_id

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), self.args, self.__dict__)

    @property
    def error(self) -> str:
        """Name of the class."""
        return type(self).__name__

    @property
    def message(self) -> str:
        """What happened."""
        return str(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the error as a dictionary of JSON types: its attributes."""
        return asdict(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return schema_of(cls, _Form, handler, _rebuilt)


class KafkaConnectionError(KafkaError, ConnectionError):
    """No broker can be reached. The message names each broker and what it answered. Try later."""


class KafkaTimeoutError(KafkaError, TimeoutError):
    """The deadline (``request_timeout_ms``) passed without an acknowledgement. The message says why. Try later."""


class QueueFullError(KafkaError):
    """The local queue stayed full up to the deadline; the event was never queued. Try later, or more slowly."""


class MessageTooLargeError(KafkaError, ValueError):
    """The event is larger than ``max_request_size``, or than the broker allows. Send less, or raise the limits."""


class UnknownTopicError(KafkaError):
    """The topic does not exist and the brokers do not create it. Create it, or correct its name."""


class AuthorizationError(KafkaError):
    """The broker knows this client and does not allow it to write to the topic. Grant the right."""


class AuthenticationError(KafkaError):
    """The broker does not accept the credentials. Correct them."""


class ConfigurationError(KafkaError):
    """The configuration cannot work. The message names the property, or the template with its line. Correct it."""


class NotStartedError(KafkaError, RuntimeError):
    """Nothing was published: ``await kafka_manager.start()`` comes first, in this process."""


class ProducerClosedError(KafkaError, RuntimeError):
    """The producer was stopped. ``await kafka_manager.start()`` starts it again."""


class ProducerFatalError(KafkaError):
    """librdkafka cannot go on with this producer; a new one is built by itself. Publish again."""


def _rebuilt(error: str, message: str, **details: Any) -> KafkaError:
    classes = {named.__name__: named for named in KafkaError.__subclasses__()}
    return classes.get(error, KafkaError)(message, **details)
