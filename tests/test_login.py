"""The admin's login in the sample project can be guessed at slowly, and blocks nobody else."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db


def test_after_ten_wrong_passwords_the_right_one_is_refused_too(client: Client) -> None:
    operator("ada")
    for _ in range(10):
        assert attempt(client, "ada", "wrong") in {200, 429}
    assert attempt(client, "ada", "right") == 429


def test_nobody_is_locked_out_by_a_stranger_somewhere_else(client: Client) -> None:
    operator("ada")
    operator("bob")
    for _ in range(11):
        attempt(client, "ada", "wrong")
    assert attempt(client, "ada", "right", REMOTE_ADDR="198.51.100.7") == 302
    assert attempt(client, "bob", "right") == 302


def test_whoever_gets_it_right_begins_anew(client: Client) -> None:
    operator("ada")
    for _ in range(3):
        for _ in range(9):
            assert attempt(client, "ada", "wrong") == 200
        assert attempt(client, "ada", "right") == 302
        client.logout()


def operator(name: str) -> None:
    User.objects.create_superuser(name, password="right")


def attempt(client: Client, name: str, password: str, **extra: str) -> int:
    body = {"username": name, "password": password}
    return int(client.post("/admin/login/?next=/admin/", body, **extra).status_code)
