"""An `EmbeddedBroker` as a process: prints its address, then creates each topic it reads, until its input ends.

Usage: python -m benches.embedded ROUND_TRIP_MS
"""

import sys

from kafka_email.testing import EmbeddedBroker


def main() -> None:
    with EmbeddedBroker(round_trip_ms=int(sys.argv[1])) as broker:
        print(broker.bootstrap_servers, flush=True)
        for line in sys.stdin:
            name, partitions = line.split()
            broker.create_topic(name, int(partitions))
            print(name, flush=True)


if __name__ == "__main__":
    main()
