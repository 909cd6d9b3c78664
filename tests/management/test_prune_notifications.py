from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from notifications.models import Notification
from tests.pipeline.test_prune import batch, notification

NOTHING_ELSE = "0 results of tasks, 0 workers, 0 receipts of nothing known, 0 digests, 0 imports"

pytestmark = pytest.mark.django_db


def prune(*arguments: str) -> str:
    out = StringIO()
    call_command("prune_notifications", *arguments, stdout=out)
    return out.getvalue().strip()


def test_it_deletes_and_says_how_much() -> None:
    notification(batch=batch())
    assert prune() == f"Deleted 1 notifications, 1 batches, {NOTHING_ELSE}."
    assert not Notification.objects.exists()


def test_it_says_how_much_it_would_delete() -> None:
    notification()
    told = prune("--dry-run")
    assert told == f"Would delete 1 notifications, 0 batches, {NOTHING_ELSE}."
    assert Notification.objects.exists()


def test_it_takes_days_and_the_size_of_a_batch() -> None:
    for hours in (23, 25, 49):
        notification(timedelta(hours=hours))
    assert prune("--days", "1", "--batch-size", "1").startswith("Deleted 2 ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--days", "0"], "--days: 0 is too few"), (["--batch-size", "0"], "--batch-size must be 1")],
)
def test_what_cannot_be_is_said_in_one_line(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        prune(*arguments)


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notification()
    prune()
    assert capsys.readouterr().err == ""
    notification()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    prune()
    assert "1/1" in capsys.readouterr().err
