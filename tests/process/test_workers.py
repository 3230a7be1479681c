"""The metrics of the workers of one server: each counts its own events, and no file or fork stands in the way."""

import json
from pathlib import Path

import pytest

from support.package.process import assert_clean, run_script

PREAMBLE = r"""
import asyncio, logging, multiprocessing, os, signal, sys, threading, time, warnings
from pathlib import Path
from kafka_email import KafkaConfig, kafka_manager
from kafka_email.metrics import KafkaEmailCollector
from kafka_email.testing import EmbeddedBroker
from support.package.embedded import config_for, eventually, publish

# CPython's own, from 3.12 on, about any process that forks and has threads.
warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)

def sample(name):
    return {sample.name: sample.value for family in collector.collect() for sample in family.samples}[name]

def published():
    return sample("kafka_email_published_total")

async def start_and_publish(count):
    await kafka_manager.start(KafkaConfig(bootstrap_servers=servers))
    for _ in range(count):
        await publish()

def fork(child):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(10)
            child()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

broker = EmbeddedBroker().start()
servers = broker.bootstrap_servers
"""
COLLECTOR = "collector = KafkaEmailCollector()\n"


def shared(directory: Path) -> str:
    """The beginning of an application whose workers share a directory; the collector is made before they are forked."""
    return f"import os\nos.environ['PROMETHEUS_MULTIPROC_DIR'] = {str(directory)!r}\n{PREAMBLE}{COLLECTOR}"


def test_a_forked_child_does_not_count_the_events_of_its_parent_again() -> None:
    script = """
asyncio.run(start_and_publish(3))
def child():
    print({sample.name for family in collector.collect() for sample in family.samples if sample.value})
    asyncio.run(start_and_publish(2))
    print(published(), sample("kafka_email_publish_latency_seconds_count"), sample("kafka_email_batch_events_sum"))
assert fork(child) == 0
print(published())
"""
    assert assert_clean(run_script(PREAMBLE + COLLECTOR + script)).splitlines() == ["set()", "2 2 2", "3"]


def test_parent_and_child_are_added_up(tmp_path: Path) -> None:
    script = """
asyncio.run(start_and_publish(3))
def child():
    asyncio.run(start_and_publish(2))
    asyncio.run(eventually(lambda: published() == 5, 10))
assert fork(child) == 0
print(published())
"""
    assert assert_clean(run_script(shared(tmp_path) + script)) == "5\n"


def test_a_worker_that_is_never_scraped_is_counted_also_what_it_published_last(tmp_path: Path) -> None:
    script = """
def work():
    asyncio.run(start_and_publish(2))
    asyncio.run(kafka_manager.stop())

end_read, end_write = os.pipe()
def stay():
    work()
    os.read(end_read, 1)
if os.fork() == 0:
    stay()
    os._exit(0)
if os.fork() == 0:
    work()
    sys.exit()  # runs what is registered for the exit
async def count():
    await eventually(lambda: published() == 4, 10)
    os.write(end_write, b"1")
asyncio.run(count())
os.wait(), os.wait()
"""
    assert_clean(run_script(shared(tmp_path) + script))


def test_a_process_without_a_producer_says_nothing_about_the_connection(tmp_path: Path) -> None:
    """Such as the one that forks the workers."""
    script = """
def child():
    asyncio.run(start_and_publish(1))
    print(sample("kafka_email_connected"))
assert fork(child) == 0
"""
    assert assert_clean(run_script(shared(tmp_path) + script)) == "1\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_fork_at_any_moment_leaves_the_child_able_to_answer_a_scrape(tmp_path: Path) -> None:
    script = """
asyncio.run(start_and_publish(1))
def scrape_on():
    while True:
        published()
for _ in range(2):
    threading.Thread(target=scrape_on, daemon=True).start()
print({fork(published) for _ in range(20)})
"""
    assert assert_clean(run_script(shared(tmp_path) + script)) == "{0}\n"


def test_a_directory_that_is_missing_for_a_while(tmp_path: Path) -> None:
    directory = tmp_path / "numbers"
    script = f"""
directory = Path({str(directory)!r})
lines = []
class Lines(logging.Handler):
    def emit(self, record): lines.append(record.getMessage())
logging.getLogger("kafka_email").addHandler(Lines())
logging.getLogger("kafka_email").propagate = False
async def main():
    await start_and_publish(1)
    assert published() == published() == 1
    await eventually(lambda: lines, 5)
    directory.mkdir()
    await eventually(lambda: list(directory.iterdir()), 5)  # nobody scrapes
asyncio.run(main())
(line,) = lines
assert "other workers do not see the metrics of this one" in line and str(directory) in line
"""
    assert_clean(run_script(shared(directory) + script))


def test_two_collectors_of_one_process(tmp_path: Path) -> None:
    script = """
other = KafkaEmailCollector()
asyncio.run(start_and_publish(2))
assert [thread.name for thread in threading.enumerate()].count("kafka-email-metrics") == 1
print(published())
collector = other
print(published())
"""
    assert assert_clean(run_script(shared(tmp_path) + script)).splitlines() == ["2", "2"]


HISTOGRAM = {"bounds": [1], "counts": [1, 2], "sum": 3}
DAMAGED = {
    "empty": b"",
    "truncated": b'{"latency": {"bounds": [12',
    "no text": b"\xff\xfe\x00",
    "no object": b"[1, 2]",
    "null": b"null",
    "other types": json.dumps({"latency": {"bounds": "many"}, "failed": 3}).encode(),
    "other buckets": json.dumps({"latency": HISTOGRAM, "batches": HISTOGRAM}).encode(),
    "without buckets": b"{}",
}


@pytest.mark.parametrize("damage", [*DAMAGED, "a directory", "a link to nowhere"])
def test_a_damaged_file_is_left_out_and_named_once(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "kafka_email_1.json"
    if damage == "a directory":
        file.mkdir()
    elif damage == "a link to nowhere":
        file.symlink_to(tmp_path / "nowhere")  # as if it were removed between listing and reading
    else:
        file.write_bytes(DAMAGED[damage])
    script = "asyncio.run(start_and_publish(2))\nprint(published(), published())"
    finished = run_script(shared(tmp_path) + script)
    assert (finished.code, finished.out) == (0, "2 2\n"), finished
    if damage == "a link to nowhere":
        assert finished.err == ""
    else:
        (line,) = finished.err.splitlines()
        assert line.startswith("the metrics of a worker are not counted: ")
        assert str(file) in line


def test_a_log_filter_that_fails_does_not_break_a_scrape(tmp_path: Path) -> None:
    (tmp_path / "kafka_email_1.json").write_bytes(DAMAGED["empty"])
    script = """
import logging
asked = []
def fail(record):
    asked.append(record.kafka_email_event)
    raise LookupError
logging.getLogger("kafka_email.manager").addFilter(fail)
asyncio.run(start_and_publish(2))
print(published(), asked)
"""
    assert assert_clean(run_script(shared(tmp_path) + script)) == "2 ['metrics_unreadable']\n"
