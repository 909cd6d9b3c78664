"""The settings of the racing tests; a worker under test may have its product changed."""

import os

from tests.racing.settings import *  # noqa: F403 - a settings module takes all of another
from tests.racing.settings import INSTALLED_APPS

if os.environ.get("TEST_MUTATION"):
    INSTALLED_APPS.append("tests.faults.mutations.Mutations")
