"""Metrics for Prometheus. Needs the extra ``prometheus``."""

from kafka_email.metrics.collector import KafkaEmailCollector
from kafka_email.metrics.worker_collector import KafkaEmailWorkerCollector

__all__ = ["KafkaEmailCollector", "KafkaEmailWorkerCollector"]
