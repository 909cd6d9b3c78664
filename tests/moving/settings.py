"""The tests' settings in a project that still has the packages to be moved from."""

import os

from tests.settings import *  # noqa: F403 - a settings module takes all of another
from tests.settings import DATABASES, INSTALLED_APPS, SCRATCH, SQLITE

INSTALLED_APPS = [*INSTALLED_APPS, "post_office", "djcelery_email"]
MEDIA_ROOT = os.environ.get("MOVING_MEDIA", f"{SCRATCH.name}/media")
POST_OFFICE = {"LOG_LEVEL": 0, "LOCK_FILE_NAME": f"{MEDIA_ROOT}-lock"}

DATABASES["default"].setdefault("TEST", {}).setdefault("NAME", "test_moving")
DATABASES["elsewhere"] = SQLITE | {
    "NAME": f"{SCRATCH.name}/elsewhere.sqlite3",
    "TEST": {"NAME": f"{SCRATCH.name}/test-elsewhere.sqlite3", "DEPENDENCIES": []},
}
ELSEWHERE = ["tests.moving.settings.PostOfficeElsewhere"]

# A process that a test starts uses the databases of the test.
for alias in DATABASES:
    if name := os.environ.get(f"MOVING_{alias.upper()}"):
        DATABASES[alias]["NAME"] = name
if os.environ.get("MOVING_ROUTED"):
    DATABASE_ROUTERS = ELSEWHERE


class PostOfficeElsewhere:
    """Its tables are in a database of their own."""

    def db_for_read(self, model: type, **_: object) -> str | None:
        return "elsewhere" if model.__module__.startswith("post_office") else None

    db_for_write = db_for_read
