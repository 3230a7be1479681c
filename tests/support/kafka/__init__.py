"""A real Kafka on this machine: its jars, its nodes, certificates for it, and consumers that are not ours."""
