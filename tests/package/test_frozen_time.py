"""One clock for all paths: an event published in frozen time has that time, whoever encodes it."""

import pytest
from freezegun import freeze_time

from kafka_email import EmailPublisher
from support.package.embedded import ADDRESS, TOPIC, started

EVENT = {"email_type": "welcome", "recipient": ADDRESS, "username": "Ann"}


@pytest.mark.parametrize("moment", ["2026-01-02T03:04:05.123457", "2026-01-02T03:04:05", "1969-07-20T20:17:40"])
async def test_every_path_has_the_frozen_time(moment: str) -> None:
    async with started() as broker:
        publisher = EmailPublisher()
        with freeze_time(moment, real_asyncio=True):
            await publisher.publish_welcome_email(ADDRESS, "Ann")
            await publisher.publish_welcome_email(ADDRESS, "Ann", {"only": {"Pydantic"}})
            await publisher.publish_many([EVENT, EVENT | {"metadata": {"only": {"Pydantic"}}}])
        assert [record.value["timestamp"] for record in broker.records(TOPIC)] == [moment] * 4
