"""Django: ``INSTALLED_APPS = ["kafka_email.django"]``.

The setting ``KAFKA_EMAIL`` precedes the environment, ``manage.py check`` checks it, and ``manage.py kafka_email`` is
the command line. Views publish with ``kafka_email.sync``, coroutines with ``kafka_email``.
"""
