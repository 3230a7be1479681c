"""What the tests share: a real Kafka, faults, and helpers around the installed package."""
