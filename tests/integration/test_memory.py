"""Memory while very many events are under way on a real Kafka."""

import subprocess
import sys

from support.kafka.cluster import Kafka

LIMIT_MB = 200
RUNS = 3
SCRIPT = """
import asyncio, pathlib, sys
from kafka_email import EmailPublisher, KafkaConfig, kafka_manager

async def main(servers, topic):
    await kafka_manager.start(KafkaConfig(bootstrap_servers=servers, email_topic=topic))
    publisher = EmailPublisher()
    link = "https://shop.example.com/verify?token=0123456789abcdef"
    events = [publisher.publish_verification_email(f"user{n}@gmail.com", "Ann Miller", link) for n in range(100_000)]
    stored = await asyncio.gather(*events)
    assert len({metadata.event_id for metadata in stored}) == 100_000
    report = await kafka_manager.stop()
    assert (report.delivered, report.failed) == (0, 0)

asyncio.run(main(*sys.argv[1:]))
print(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def test_a_hundred_thousand_outstanding_events_fit_into_200_mb(kafka: Kafka) -> None:
    """In the middle of three runs: the peak moves a little with how far Kafka is behind at each moment."""
    peaks = sorted(_peak_mb(kafka) for _ in range(RUNS))
    assert peaks[RUNS // 2] <= LIMIT_MB, peaks


def _peak_mb(kafka: Kafka) -> int:
    """Of a process of its own; its `ru_maxrss` would begin with what the process that started it has."""
    command = [sys.executable, "-c", SCRIPT, kafka.bootstrap_servers, kafka.create_topic()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout) // 1024
