"""What the tests share: a real Kafka on this machine, certificates for it, and independent consumers."""
