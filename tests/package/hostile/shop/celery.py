"""A Celery app of its own making: another namespace, its own queues, routes and prefix."""

import os

from celery import Celery

from notifications import worker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="QUEUE")
app.autodiscover_tasks()
worker.setup(app)


@app.task
def pack(order: int) -> int:
    return order
