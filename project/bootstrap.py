"""What `make run` does before it serves: migrate, and on the first run make a tenant and an admin.

`python -m project.bootstrap`. Everything is made only if it is missing, so a second run changes
nothing. The key and the password are shown when they are made, and cannot be shown again.
"""

import os
import secrets

import django
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import transaction

from notifications.api_keys import make_key

TENANT = "demo"
ADMIN = "admin"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    with transaction.atomic():
        token, password = _make_key_if_missing(), _make_admin_if_missing()
    print(_welcome(f"http://127.0.0.1:{settings.PORT}", token, password), flush=True)


def _make_key_if_missing() -> str | None:
    """The token of the key made for the tenant; None when it has had one before."""
    # By the registry, because models cannot be imported before django.setup().
    tenant, _ = apps.get_model("notifications", "Tenant").objects.get_or_create(name=TENANT)
    if tenant.api_keys.exists():
        return None
    key = make_key()
    tenant.api_keys.create(name="make run", public_id=key.public_id, digest=key.digest)
    return key.token


def _make_admin_if_missing() -> str | None:
    """The password of the admin made; None when there has been one before."""
    users = get_user_model().objects
    if users.filter(username=ADMIN).exists():
        return None
    password = secrets.token_urlsafe(12)
    users.create_superuser(ADMIN, password=password)
    return password


def _welcome(url: str, token: str | None, password: str | None) -> str:
    login = f"user {ADMIN}, password {password}" if password else f"user {ADMIN}"
    lines = ["", f"  API    {url}/docs", f"  Admin  {url}/admin/  ({login})"]
    if token:
        lines += [f"  Key    {token}  (tenant {TENANT})"]
    if token or password:
        lines += ["", "  Keep these: they are shown only once."]
    else:
        lines += ["", "  A new key or password: .venv/bin/python manage.py create_api_key demo"]
        lines += ["                         .venv/bin/python manage.py changepassword admin"]
    if token:
        lines += ["", *_example(url, f'-H "Authorization: Bearer {token}"')]
    return "\n".join([*lines, ""])


def _example(url: str, authorization: str) -> list[str]:
    newest = f"curl -s '{url}/notifications?page_size=1' {authorization}"
    return [
        "Send a notification, from another terminal:",
        "",
        f"curl -s {url}/notify {authorization} -H 'Content-Type: application/json' -d '"
        '{"channel": "email", "to": "ada@example.com", "subject": "Hello", "body": "It works."}\'',
        "",
        "See what became of it, with its attempts:",
        "",
        f"curl -s {url}/notifications/$({newest} | grep -oE '[0-9a-f-]{{36}}' | head -1) "
        f"{authorization}",
    ]


if __name__ == "__main__":
    main()
