"""Metrics for Prometheus. Needs the extra ``prometheus``."""

from kafka_email.metrics.collector import KafkaEmailCollector

__all__ = ["KafkaEmailCollector"]
