"""The command that makes keys."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from notifications.api_keys import split
from notifications.models import APIKey, Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Tenant:
    return Tenant.objects.create(name="shop")


def create(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def test_stdout_is_the_key_alone_and_the_rest_goes_beside_it(shop: Tenant) -> None:
    out, err = create("shop", "--name", "till")
    key = APIKey.objects.get()
    assert split(out.strip()) == (key.public_id, key.digest)
    assert out.count("\n") == 1
    assert (key.tenant, key.name, key.expires_at) == (shop, "till", None)
    assert "Bearer" in err
    assert out.strip() not in err


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2199-01-31", "2199-01-31T00:00:00+00:00"),
        ("2199-01-31T12:00+01:00", "2199-01-31T11:00:00+00:00"),
        ("2199-01-31T12:00Z", "2199-01-31T12:00:00+00:00"),
    ],
)
def test_a_key_may_expire(shop: Tenant, text: str, utc: str) -> None:
    create("shop", "--expires", text)
    expires_at: Any = APIKey.objects.get().expires_at
    assert expires_at.isoformat() == utc


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("soon", "not a date"),
        ("2199-01-31T12:00", "needs its offset"),
        ("2001-01-31", "has passed"),
    ],
)
def test_an_expiry_that_means_nothing_is_refused(shop: Tenant, text: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        create("shop", "--expires", text)
    assert not APIKey.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "scopes"),
    [
        ([], ["notify", "read", "manage"]),
        (["--scopes", "notify"], ["notify"]),
        (["--scopes", "manage, notify,notify"], ["notify", "manage"]),
    ],
)
def test_a_key_has_all_scopes_or_those_that_are_named(
    shop: Tenant, arguments: list[str], scopes: list[str]
) -> None:
    _, err = create("shop", *arguments)
    assert APIKey.objects.get().scopes == scopes
    assert f"used to {', '.join(scopes)}." in err


@pytest.mark.parametrize("text", ["", "send", "notify,", "Notify", "notify read"])
def test_a_scope_that_there_is_not_is_refused_with_those_there_are(shop: Tenant, text: str) -> None:
    with pytest.raises(CommandError, match="notify, read, manage"):
        create("shop", "--scopes", text)
    assert not APIKey.objects.exists()


def test_an_unknown_tenant_is_made_and_said_to_be_new(shop: Tenant) -> None:
    assert "The tenant shpo is new." in create("shpo")[1]
    assert "is new" not in create("shpo")[1]
    assert Tenant.objects.get(name="shpo").api_keys.count() == 2


def test_where_none_is_to_be_made_an_unknown_tenant_is_refused_with_the_known_ones(
    shop: Tenant,
) -> None:
    with pytest.raises(CommandError, match=r"no tenant 'shpo'.*There is: shop\..*--no-create"):
        create("shpo", "--no-create")
    assert not Tenant.objects.filter(name="shpo").exists()


def test_create_makes_the_tenant_and_takes_the_one_there_is() -> None:
    create("shop", "--create")
    create("shop", "--create")
    assert Tenant.objects.get().api_keys.count() == 2


def test_a_name_no_tenant_can_have_is_refused() -> None:
    with pytest.raises(CommandError, match="valid"):
        create("No Such Name", "--create")
    assert not Tenant.objects.exists()


def test_nothing_is_left_of_a_call_that_failed() -> None:
    with pytest.raises(CommandError, match="100"):
        create("shop", "--create", "--name", "x" * 101)
    assert not Tenant.objects.exists()


def test_a_disabled_tenant_gets_a_key_and_a_warning(shop: Tenant) -> None:
    Tenant.objects.update(is_active=False)
    assert "switched off" in create("shop")[1]
