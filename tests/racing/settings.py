"""The sample project's settings, with NOTIFICATIONS as JSON in TEST_NOTIFICATIONS."""

import json
import os

from project.settings import *  # noqa: F403 - a settings module takes all of another

NOTIFICATIONS = json.loads(os.environ["TEST_NOTIFICATIONS"])
