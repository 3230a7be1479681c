"""Every result of the package has a JSON form: an endpoint may return it."""

import copy
import dataclasses
import json
import pickle
import pprint
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter, ValidationError

from kafka_email import (
    EmailPublisher,
    KafkaError,
    KafkaHealth,
    KafkaTimeoutError,
    RecordMetadata,
    StopReport,
    exceptions,
    kafka_manager,
)
from kafka_email.testing import CapturedEvent, StoredRecord, capture_events
from support.package.embedded import ADDRESS, started

STORED = RecordMetadata("t", 1, 2, 3, "e")
STORED_FORM = {"topic": "t", "partition": 1, "offset": 2, "timestamp_ms": 3, "event_id": "e"}
FAILED = KafkaTimeoutError("too late", code="REQUEST_TIMED_OUT", retriable=True, maybe_delivered=True, topic="t")
FAILED_FORM = {
    "error": "KafkaTimeoutError",
    "message": "too late",
    "code": "REQUEST_TIMED_OUT",
    "retriable": True,
    "maybe_delivered": True,
    "topic": "t",
    "event_id": None,
}
HEALTH = KafkaHealth(True, 3, "t", 0.5, 1, 2, None, "2.12.1")
REPORT = StopReport(delivered=1, failed=2, elapsed_s=0.5)
BINARY = StoredRecord("t", 0, 1, 2, "k", b"\xff\x00", b"\xff\x00", {"h": "v"})
RESULTS: list[tuple[Any, dict[str, Any]]] = [
    (STORED, STORED_FORM),
    (FAILED, FAILED_FORM),
    (HEALTH, dataclasses.asdict(HEALTH)),
    (REPORT, {"delivered": 1, "failed": 2, "elapsed_s": 0.5}),
    (BINARY, dataclasses.asdict(BINARY) | {"value": "\ufffd\0", "raw_value": "\ufffd\0"}),
    (CapturedEvent("t", "k", {"a": [1]}, b'{"a": [1]}', "welcome", {}), None),
]
RESULTS[-1] = (RESULTS[-1][0], dataclasses.asdict(RESULTS[-1][0]) | {"raw_value": '{"a": [1]}'})

parametrized = pytest.mark.parametrize(("result", "form"), RESULTS, ids=lambda each: type(each).__name__)


async def get(app: FastAPI, path: str = "/") -> Any:
    """The JSON that an application answers."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        return (await client.get(path)).raise_for_status().json()


@parametrized
def test_as_dict_is_what_pydantic_writes(result: Any, form: dict[str, Any]) -> None:
    assert result.as_dict() == form
    adapter = TypeAdapter(type(result))
    assert json.loads(adapter.dump_json(result)) == form
    assert adapter.json_schema(mode="serialization")["properties"].keys() == form.keys()
    assert adapter.json_schema()["title"] in {"KafkaError", type(result).__name__}
    assert adapter.validate_python(result) is result


@parametrized
async def test_an_endpoint_may_return_it(result: Any, form: dict[str, Any]) -> None:
    app = FastAPI()
    app.add_api_route("/typed", lambda: result, response_model=type(result))
    app.add_api_route("/list", lambda: [result], response_model=list[type(result)])  # type: ignore[misc]
    assert await get(app, "/typed") == form
    assert await get(app, "/list") == [form]
    assert await get(app, "/openapi.json")


@pytest.mark.parametrize("result", [STORED, FAILED, HEALTH, REPORT], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("annotation", [None, Any, dict[str, Any], dict[str, list[Any]]])
async def test_an_endpoint_that_does_not_name_its_type_may_return_it(annotation: Any, result: Any) -> None:
    app = FastAPI()
    app.add_api_route("/", lambda: {"result": [result]}, response_model=annotation)
    assert await get(app) == {"result": [result.as_dict()]}


async def test_an_endpoint_may_return_what_publishes_return() -> None:
    app = FastAPI()
    event = {"email_type": "welcome", "recipient": ADDRESS, "username": "Ann", "link": ""}

    @app.get("/one")
    async def one() -> RecordMetadata:
        return await EmailPublisher().publish_welcome_email(ADDRESS, "Ann")

    @app.get("/many")
    async def many() -> list[RecordMetadata | KafkaError]:
        return await EmailPublisher().publish_many([event])

    @app.get("/untyped")
    async def untyped() -> Any:
        return await EmailPublisher().publish_many([event])

    with capture_events() as captured:
        assert (await get(app, "/one"))["event_id"] == "captured-0"
        assert (await get(app, "/many"))[0]["event_id"] == "captured-1"
        captured.fail_with(FAILED)
        assert (await get(app, "/many")) == [FAILED_FORM]
        assert (await get(app, "/untyped")) == [FAILED_FORM]


def test_a_model_may_hold_results() -> None:
    class Reply(BaseModel):
        results: list[RecordMetadata | KafkaError]

    reply = Reply(results=[STORED, FAILED])
    assert reply.model_dump(mode="json") == {"results": [STORED_FORM, FAILED_FORM]}
    stored, failed = Reply.model_validate_json(reply.model_dump_json()).results
    assert stored == STORED
    assert (type(failed), str(failed), vars(failed)) == (KafkaTimeoutError, "too late", vars(FAILED))
    with pytest.raises(ValidationError):
        Reply.model_validate({"results": [{"topic": "t"}]})


@pytest.mark.parametrize("name", exceptions.__all__)
def test_an_error_comes_back_as_its_own_class(name: str) -> None:
    adapter = TypeAdapter(KafkaError)
    error = getattr(exceptions, name)("why", code="C")
    assert type(adapter.validate_json(adapter.dump_json(error))) is type(error)
    assert error.error == name
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), copied.as_dict()) == (type(error), error.as_dict())


def test_record_metadata_is_like_a_dataclass() -> None:
    assert dataclasses.is_dataclass(STORED)
    assert dataclasses.asdict(STORED) == STORED_FORM
    assert dataclasses.replace(STORED, offset=5) == RecordMetadata("t", 1, 5, 3, "e")
    assert copy.copy(STORED) == STORED
    assert pprint.pformat(STORED) == repr(STORED)


async def test_the_reports_of_a_real_producer() -> None:
    async with started() as broker:
        await EmailPublisher().publish_welcome_email(ADDRESS, "Ann")
        (record,) = broker.records()
        assert json.loads(json.dumps(record.as_dict()))["value"]["username"] == "Ann"
        assert json.dumps((await kafka_manager.health()).as_dict())
        assert (await kafka_manager.stop()).as_dict()["failed"] == 0
