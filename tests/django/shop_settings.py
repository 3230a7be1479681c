"""Settings of the project that the tests use. What they try comes as JSON."""

import json
import os

SECRET_KEY = "tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "kafka_email.django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("SHOP_DATABASE", ":memory:")}}
USE_TZ = True

if "SHOP_KAFKA_EMAIL" in os.environ:
    KAFKA_EMAIL = json.loads(os.environ["SHOP_KAFKA_EMAIL"])
