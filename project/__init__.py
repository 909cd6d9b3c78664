"""The sample project: a complete deployment, configured by the environment alone."""

from .celery import app as celery_app

__all__ = ("celery_app",)
