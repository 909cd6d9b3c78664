"""Every page of the admin, found in the URL configuration: for whom it opens, and for whom not."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver

pytestmark = pytest.mark.django_db

REFUSED = {302, 403, 404, 405}
"""Whether there is such a row is not told: Django leads to the index then."""

OPEN = {"login", "logout"}
"""Logging out is a POST with a token against forgery, and needs nobody to be there."""


def pages(found: Any, path: str = "/admin/") -> list[tuple[str, str]]:
    """The names and paths of the patterns, with an id wherever one is asked for."""
    paths: list[tuple[str, str]] = []
    for pattern in found:
        at = path + re.sub(r"<[^>]+>", "1", str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            paths += pages(pattern.url_patterns, at)
        elif isinstance(pattern, URLPattern) and pattern.name not in OPEN and "(" not in at:
            paths.append((pattern.name or "", at))
    return paths


ALL = pages(admin.site.get_urls())
OURS = [path for name, path in ALL if name.startswith("notifications_")]


def test_there_are_pages() -> None:
    assert len(OURS) > 30


def test_who_is_not_logged_in_is_led_to_the_login() -> None:
    answers = {path: method(path) for _, path in ALL for method in (Client().get, Client().post)}
    assert {answer.status_code for answer in answers.values()} == {302}
    assert all(answer["Location"].startswith("/admin/") for answer in answers.values())


def test_staff_who_may_nothing_see_nothing(client: Client) -> None:
    client.force_login(User.objects.create_user("staff", is_staff=True))
    answers = {path: method(path) for path in OURS for method in (client.get, client.post)}
    opened = [path for path, answer in answers.items() if answer.status_code not in REFUSED]
    assert opened == []


def test_a_post_without_its_token_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))
    answers = {path: client.post(path, {"post": "yes"}).status_code for path in OURS}
    assert set(answers.values()) <= {403, 405}
