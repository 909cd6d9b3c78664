"""The sample project's settings at their most talkative: every logger that asks its parent."""

import os

from project.settings import LOGGING
from tests.racing.settings import *  # noqa: F403 - a settings module takes all of another

LOGGING["root"]["level"] = "DEBUG"
LOGGING["loggers"]["django"]["level"] = "DEBUG"

EMAIL_HOST, EMAIL_PORT = "127.0.0.1", int(os.environ["CANARY_SMTP_PORT"])
METRICS_TOKEN = os.environ["CANARY_METRICS_TOKEN"]
SILENCED_SYSTEM_CHECKS = ["notifications.E011"]  # the receiver of the webhooks is on this machine
