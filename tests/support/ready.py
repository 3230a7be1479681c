"""Makes sure that all servers of the tests can be started here; `make` asks before it starts what takes minutes."""

import sys

from support.kafka.jars import kafka_jars
from support.kafka.java import java_command
from support.missing import MissingError
from support.smtp.postfix import smtp_sink_command


def main() -> None:
    """Fetches what this machine lacks and can fetch; otherwise the exit says what to install."""
    try:
        java_command()
        kafka_jars()
        smtp_sink_command()
    except MissingError as missing:
        sys.exit(f"missing for the tests: {missing}")


if __name__ == "__main__":
    main()
