"""One Kafka node: a Java process with its own ports and data, which outlive a restart."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.kafka.jars import kafka_jars
from support.kafka.java import java_command
from support.watchdog import dismiss, watch

START_SECONDS = 50.0
STOP_SECONDS = 20.0


class KafkaNode:
    """Starts, stops, freezes and kills one node; touches no process but its own."""

    def __init__(self, directory: Path, properties: Mapping[str, str]) -> None:
        """Writes the configuration into an existing, empty directory."""
        self.log_path = directory / "kafka.log"
        self._config = directory / "server.properties"
        self._config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def is_running(self) -> bool:
        """True from `launch` until the process ends, by itself or by `stop` or `kill`."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of a running node."""
        assert self._process is not None, "this node does not run"
        return self._process.pid

    def format(self, cluster_id: str, arguments: Sequence[str] = ()) -> None:
        """Prepares the data directory, once, before the first start."""
        command = [*java("kafka.tools.StorageTool"), "format", "-t", cluster_id, "-c", str(self._config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"formatting {self._config} failed: {done.stdout}{done.stderr}"

    def start(self) -> None:
        """Launches the node and waits until it serves clients."""
        self.launch()
        self.wait_until_started()

    def launch(self) -> None:
        """Starts the process and returns at once."""
        assert not self.is_running, "this node runs already"
        self.kill()  # puts away what is left of a node that ended by itself
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*java("kafka.Kafka"), str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop their nodes
            )
        self._watchdog = watch(self._process.pid)

    def wait_until_started(self) -> None:
        """Waits for the node's own word that it serves clients.

        Raises:
            RuntimeError: it ended or did not say so in time; with the end of its log.
        """
        deadline = time.monotonic() + START_SECONDS
        while b"Kafka Server started" not in (log := self._log_since_launch()):
            if not self.is_running or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Kafka did not start:\n{log[-3000:].decode(errors='replace')}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends the node as an administrator would (SIGTERM), by force if it does not follow."""
        if self._process is None:
            return
        self._process.terminate()
        self.resume()  # a frozen process would not see the signal
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """Ends the node without any farewell (SIGKILL), as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self) -> None:
        """Stops the node and starts it again: same ports, same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freezes the node (SIGSTOP): its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a frozen node run on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "this node does not run"
        self._process.send_signal(number)

    def _log_since_launch(self) -> bytes:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read()

    def _reap(self) -> None:
        assert self._process is not None
        assert self._watchdog is not None
        self._process.wait()
        dismiss(self._watchdog)
        self._process = self._watchdog = None


def java(main_class: str) -> list[str]:
    """The command that runs one of Kafka's programs."""
    # TieredStopAtLevel=1: a node that lives for seconds starts in half the time without the optimising compiler.
    # UsePerfData: leaves a file behind when the process is killed.
    options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
    return [java_command(), *options, "-cp", f"{kafka_jars()}/*", main_class]
