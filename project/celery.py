"""The Celery application: `celery -A project worker` is a complete worker."""

import os

from celery import Celery

from notifications import worker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
worker.setup(app)
