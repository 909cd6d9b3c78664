"""`manage.py create_api_key TENANT`: a new key, printed once."""

from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from ...api_keys import make_key
from ...enums import KeyScope
from ...models import APIKey, Tenant, all_scopes
from ..tenants import find_tenant

Row = TypeVar("Row", APIKey, Tenant)


class Command(BaseCommand):
    help = "Makes an API key for TENANT and prints it once; only a digest of it is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the name of the tenant the key speaks for")
        parser.add_argument("--name", default="", help="what the key is for")
        parser.add_argument(
            "--expires",
            type=parse_expiry,
            help="2027-01-31 (that is 00:00 UTC) or a time with its offset, 2027-01-31T12:00+01:00",
        )
        parser.add_argument(
            "--scopes",
            type=parse_scopes,
            default=all_scopes(),
            help=f"what it may be used for, with commas between; all of them if it is not given: "
            f"{', '.join(KeyScope.values)}",
        )
        parser.add_argument(
            "--create",
            action=BooleanOptionalAction,
            default=True,
            help="make the tenant if there is none",
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        tenant = self._tenant(options["tenant"], create=options["create"])
        new = make_key()
        key = APIKey(
            tenant=tenant,
            name=options["name"],
            scopes=options["scopes"],
            expires_at=options["expires"],
            public_id=new.public_id,
            digest=new.digest,
        )
        _save(key)
        # The key alone goes to stdout: KEY=$(manage.py create_api_key shop) is the usual call.
        self.stdout.write(new.token)
        self.stderr.write(
            f"This key speaks for the tenant {tenant} and is shown this once: keep it safe.\n"
            f"It may be used to {', '.join(key.scopes)}.\n"
            f"Clients send it as `Authorization: Bearer <key>`; the admin revokes {key.public_id}."
        )

    def _tenant(self, name: str, *, create: bool) -> Tenant:
        if create and not Tenant.objects.filter(name=name).exists():
            _save(Tenant(name=name))
            self.stderr.write(f"The tenant {name} is new.")
        tenant = find_tenant(name, "To make it, leave out --no-create.")
        if not tenant.is_active:
            self.stderr.write(
                f"The tenant {tenant} is switched off: its keys are refused until it is on again."
            )
        return tenant


def parse_expiry(text: str) -> datetime:
    """The moment in `text`, aware; raises ArgumentTypeError for a past one or anything else."""
    try:
        moment = _midnight(text) or datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2027-01-31") from error
    if moment.tzinfo is None:
        raise ArgumentTypeError("a time needs its offset, such as 2027-01-31T12:00+01:00")
    if moment <= datetime.now(UTC):
        raise ArgumentTypeError("this time has passed; the key would never work")
    return moment


def parse_scopes(text: str) -> list[str]:
    """The scopes in `text`, such as `notify,read`, each once; raises ArgumentTypeError."""
    given = [part.strip() for part in text.split(",")]
    unknown = [part for part in given if part not in KeyScope.values]
    if unknown:
        raise ArgumentTypeError(
            f"{unknown[0]!r} is no scope; there is: {', '.join(KeyScope.values)}"
        )
    return [scope for scope in KeyScope.values if scope in given]


def _midnight(text: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        return None  # it may still be a date with a time


def _save(row: Row) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    row.save(force_insert=True)
