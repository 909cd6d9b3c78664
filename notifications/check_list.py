"""Which of our checks Django runs, and when; the table of ids is in `checks.py`.

A web server runs none of them, so their modules are loaded by those who do: `manage.py`, and a
worker that starts.
"""

from django.core.checks import Tags
from django.core.checks import register as register_check

from .late import late

TAG = "notifications"

CHECKS = (
    "checks.check_settings",
    "checks.check_database_settings",
    "checks.check_mailers",
    "celery_checks.check_celery",
    "celery_checks.check_metrics_port",
    "project_checks.check_project",
)
DATABASE_CHECKS = ("checks.check_durability", "checks.check_mail_tenants")
DEPLOYMENT_CHECKS = ("project_checks.check_deployment",)


def register() -> None:
    """Tell Django of them; once in a process."""
    for name in CHECKS:
        register_check(late(name), TAG)
    for name in DATABASE_CHECKS:
        register_check(late(name), Tags.database)
    for name in DEPLOYMENT_CHECKS:
        register_check(late(name), TAG, Tags.security, deploy=True)
