"""The Celery application, which carries the notifications as well."""

import os

from celery import Celery

from notifications import worker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
worker.setup(app)
