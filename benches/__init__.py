"""The benchmark: kafka-email beside other clients, on one broker, in one run. `python -m benches --help`."""

import sys
from pathlib import Path

# The Kafka of the tests serves here as well.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
