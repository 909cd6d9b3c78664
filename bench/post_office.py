"""The sample project's settings with django-post_office in them, at its fastest."""

import os

from project.settings import *  # noqa: F403 - a settings module takes all of another
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "post_office"]
POST_OFFICE = {
    "BATCH_SIZE": int(os.environ["POST_OFFICE_BATCH_SIZE"]),
    "THREADS_PER_PROCESS": int(os.environ["POST_OFFICE_THREADS"]),
    "LOG_LEVEL": 0,
}
