"""A file of notifications: each row once, whatever happens meanwhile."""

import csv
import io
import multiprocessing
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from notifications.conf import Rate
from notifications.enums import Priority
from notifications.models import Batch, Notification, Tenant
from notifications.pipeline import importing
from notifications.pipeline.import_plan import Plan
from notifications.pipeline.importing import Imported, import_csv
from notifications.pipeline.template_store import put
from notifications.template_validation import parse_template
from tests.processes import wait_until

from .factories import tenant

pytestmark = pytest.mark.django_db

SMS = "channel,to,body\nsms,+14155550123,Hello\nsms,+14155550124,World\n"


def run(text: str | bytes, of: Tenant | None = None, **how: Any) -> tuple[Imported, list[Any]]:
    """What became of it, and the rejected rows by the names of their columns."""
    data = text.encode() if isinstance(text, str) else text
    rejects = io.StringIO()
    done = import_csv(io.BytesIO(data), Plan(of or tenant("shop"), **how), rejects)
    return done, list(csv.DictReader(io.StringIO(rejects.getvalue())))


def counts(done: Imported) -> tuple[int, int, int, int]:
    return done.rows, done.accepted, done.replayed, done.rejected


def stored() -> list[Notification]:
    return list(Notification.objects.order_by("pk"))


def test_rows_become_notifications_of_one_batch() -> None:
    done, rejected = run(SMS)
    assert (counts(done), rejected) == ((2, 2, 0, 0), [])
    first, second = stored()
    assert (first.channel, first.to, first.content) == ("sms", "+14155550123", {"body": "Hello"})
    assert first.batch_id == second.batch_id == done.batch_id
    assert first.tenant.name == "shop"


def test_the_same_file_sends_nothing_twice() -> None:
    first, _ = run(SMS)
    again, rejected = run(SMS)
    assert (counts(again), rejected) == ((2, 0, 2, 0), [])
    assert again.batch_id == first.batch_id
    assert len(stored()) == 2
    assert Batch.objects.count() == 1


def test_another_file_or_another_tenant_is_something_else() -> None:
    run(SMS)
    assert counts(run(SMS + "sms,+14155550125,More\n")[0]) == (3, 3, 0, 0)
    assert counts(run(SMS, tenant("other"))[0]) == (2, 2, 0, 0)


def test_two_rows_that_are_alike_are_two_notifications() -> None:
    row = "sms,+14155550123,Hello\n"
    assert counts(run(f"channel,to,body\n{row}{row}")[0]) == (2, 2, 0, 0)


def test_keys_of_its_own_hold_over_several_files() -> None:
    text = "channel,to,body,order\nsms,+14155550123,Hello,o-7\n"
    how = {"columns": {"order": "idempotency_key"}}
    assert counts(run(text, **how)[0]) == (1, 1, 0, 0)
    assert counts(run(text + "sms,+14155550124,Hello,o-8\n", **how)[0]) == (2, 1, 1, 0)


def test_bad_rows_are_rejected_with_line_and_reasons_and_can_be_imported_when_mended() -> None:
    done, rejected = run(
        "channel,to,body\nsms,+14155550123,Hello\nsms,nobody,\nsms,+14155550124,World\nsms\n"
    )
    assert counts(done) == (4, 2, 0, 2)
    assert [row["import_line"] for row in rejected[:1]] == ["3"]
    assert rejected[0]["to"] == "nobody"
    assert "to: not a number to send to" in rejected[0]["import_reason"]
    assert "body: " in rejected[0]["import_reason"]
    mended = "channel,to,body,import_line,import_reason\n'sms,'+14155550126,Hello,3,why\n"
    assert counts(run(mended.replace("'sms", "sms"))[0]) == (1, 1, 0, 0)
    assert stored()[-1].to == "+14155550126"


def test_no_cell_of_the_rejected_is_a_formula() -> None:
    _, rejected = run('channel,to,body\nsms,=cmd,"@SUM(1)"\nsms,+1,x\n')
    assert [row["to"] for row in rejected] == ["'=cmd", "'+1"]
    assert rejected[0]["body"] == "'@SUM(1)"


def test_columns_are_mapped_nested_and_left_out() -> None:
    put(
        tenant("shop"),
        "hello",
        parse_template({"channel": "sms", "body": "{{ name }} {{ order.n }}"}),
    )
    text = "Phone,name,context.order.n,metadata.simulate,secret\n+14155550123,Ada,7,accept,x\n"
    done, rejected = run(
        text,
        columns={"Phone": "to", "secret": ""},
        defaults={"channel": "sms", "template": "hello", "priority": "bulk"},
    )
    assert (counts(done), rejected) == ((1, 1, 0, 0), [])
    [row] = stored()
    assert (row.content, row.metadata) == ({"body": "Ada 7"}, {"simulate": "accept"})
    assert row.priority == Priority.BULK


def test_what_a_row_says_goes_before_a_default() -> None:
    run("channel,to,body,priority\nsms,+14155550123,Hello,urgent\nsms,+14155550124,Hello,\n",
        defaults={"priority": "bulk"})  # fmt: skip
    assert [row.priority for row in stored()] == [Priority.URGENT, Priority.BULK]


def test_a_webhook_s_payload_is_json() -> None:
    done, rejected = run(
        'channel,to,payload\nwebhook,https://example.com/,"{""a"": 1}"\n'
        "webhook,https://example.com/,{\n"
    )
    assert counts(done) == (2, 1, 0, 1)
    assert stored()[0].content == {"payload": {"a": 1}}
    assert rejected[0]["import_reason"] == "payload: is not JSON"


def test_lists_are_json_headers_have_columns_and_senders_are_the_tenant_s() -> None:
    shop = tenant("shop")
    shop.senders = "@example.com"
    shop.save()
    text = (
        "channel,to,subject,body,from,cc,headers.X-Campaign\n"
        'email,ada@example.com,Hi,Hello,shop@example.com,"[""bob@example.com""]",may\n'
        "email,ada@example.com,Hi,Hello,shop@example.org,,\n"
    )
    done, [rejected] = run(text, shop)
    assert counts(done) == (2, 1, 0, 1)
    content = stored()[0].content
    assert (content["cc"], content["headers"]) == (["bob@example.com"], {"X-Campaign": "may"})
    assert rejected["import_reason"].startswith("from: ")


@pytest.mark.parametrize(
    ("text", "how", "words"),
    [
        (
            "channel,to,boddy\n",
            {},
            "no fields: boddy; say what they are by mapping them, COLUMN=FIELD",
        ),
        ("channel,to,x\n", {"columns": {"x": "boddy"}}, "boddy is no field; known are: .*body"),
        ("channel,to\n", {"columns": {"x": "body"}}, "no column x; it has channel, to"),
        ("to,phone\n", {"columns": {"phone": "to"}}, "two columns are the same field: to"),
        ("", {}, "the first line must name the columns"),
    ],
)
def test_a_file_that_cannot_be_read_stores_nothing(
    text: str, how: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        run(text, **how)
    assert not stored()
    assert not Batch.objects.exists()


def test_a_dry_run_tells_the_same_and_stores_nothing() -> None:
    text = SMS + "sms,nobody,x\n"
    done, rejected = run(text, dry_run=True)
    assert (counts(done), done.batch_id, len(rejected)) == ((3, 2, 0, 1), None, 1)
    assert not stored()
    assert not Batch.objects.exists()
    run(text)
    assert counts(run(text, dry_run=True)[0]) == (3, 0, 2, 1)
    assert counts(run(text, dry_run=True, defaults={"priority": "bulk"})[0]) == (3, 0, 0, 3)


def test_what_is_too_much_for_a_chunk_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = tenant("shop")
    for n in range(60):
        put(shop, f"t{n}", parse_template({"channel": "sms", "body": f"Hello {n}"}))
    text = "to,template\n" + "".join(f"+14155550123,t{n}\n" for n in range(60))
    done, rejected = run(text, shop, defaults={"channel": "sms"})
    assert (counts(done), rejected) == ((60, 60, 0, 0), [])


def test_a_rate_is_kept() -> None:
    text = "channel,to,body\n" + "sms,+14155550123,Hello\n" * 30
    begun = time.monotonic()
    run(text, rate=Rate(20, 1))
    assert time.monotonic() - begun > 1.4
    begun = time.monotonic()
    assert counts(run(text, rate=Rate(1, 60))[0]) == (30, 0, 30, 0)
    assert time.monotonic() - begun < 10, "what is there already costs nothing of it"


def test_it_tells_how_far_it_has_come() -> None:
    text = "channel,to,body\n" + "sms,+14155550123,Hello\n" * 1200
    seen: list[tuple[int, int]] = []
    import_csv(
        io.BytesIO(text.encode()),
        Plan(tenant("shop")),
        io.StringIO(),
        lambda done: seen.append((done.rows, done.read_bytes)),
    )
    assert [rows for rows, _ in seen] == [500, 1000, 1200]
    assert seen[-1][1] == len(text)


def peak(path: Path, rows: int) -> int:
    with path.open("w") as file:
        file.write("channel,to,body\n")
        file.writelines(f"sms,+14155550123,Hello {n}\n" for n in range(rows))
    plan = Plan(tenant("shop"), dry_run=True)
    tracemalloc.start()
    try:
        with path.open("rb") as source:
            import_csv(source, plan, io.StringIO())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_longer_file_takes_no_more_memory(tmp_path: Path) -> None:
    peak(tmp_path / "warm.csv", 500)
    short, long = peak(tmp_path / "short.csv", 1_000), peak(tmp_path / "long.csv", 3_000)
    assert long < short * 1.25


ROWS, KILLED_AT = 2_000, (100, 300, 600)


def import_slowly(path: Path, plan: Plan) -> None:
    """In a process of its own; slow enough to be killed in the middle of it."""
    with path.open("rb") as source:
        import_csv(source, plan, io.StringIO(), lambda _: time.sleep(0.1))


@pytest.mark.django_db(transaction=True)
def test_killed_again_and_again_it_stores_each_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 50)
    path, shop = tmp_path / "rows.csv", tenant("shop")
    path.write_text(
        "channel,to,body\n" + "".join(f"sms,+14155550123,Hello {n}\n" for n in range(ROWS))
    )
    plan, context = Plan(shop), multiprocessing.get_context("fork")
    for least in KILLED_AT:
        connections.close_all()  # a child must not inherit one
        child = context.Process(target=import_slowly, args=(path, plan))
        child.start()
        wait_until(lambda least=least: Notification.objects.count() >= least, 30)
        child.kill()
        child.join()
        assert Notification.objects.count() < ROWS, "it was to be killed before its end"
    there = Notification.objects.count()
    with path.open("rb") as source:
        done = import_csv(source, plan, io.StringIO())
    assert counts(done) == (ROWS, ROWS - there, there, 0)
    bodies = sorted(row["body"] for row in Notification.objects.values_list("content", flat=True))
    assert bodies == sorted(f"Hello {n}" for n in range(ROWS))
