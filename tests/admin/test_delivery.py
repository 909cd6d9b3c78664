"""The pages for notifications and batches, read and acted on as a member of staff does."""

import html
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from notifications.admin import lists
from notifications.enums import Channel, Priority, ReceiptState, State, Status
from notifications.lifecycle import states_of
from notifications.models import Attempt, Batch, Notification, Receipt, Tenant

LIST = "/admin/notifications/notification/"

pytestmark = pytest.mark.django_db

Make = Callable[..., Notification]


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="shop")


@pytest.fixture
def make(tenant: Tenant) -> Make:
    return lambda **values: Notification.objects.create(**draft(**{"tenant": tenant, **values}))


def draft(**values: Any) -> dict[str, Any]:
    base = {"channel": Channel.EMAIL, "to": "ada@example.com", "content": {"subject": "Hello"}}
    return {**base, "fingerprint": "0" * 64, **values}


def columns(status: Status) -> dict[str, Any]:
    state, receipt_state = states_of(status)[-1]
    leased = state in (State.LEASED, State.DISPATCHING)
    lease = {"lease_token": uuid4(), "lease_until": timezone.now()} if leased else {}
    return {"state": state, "receipt_state": receipt_state, **lease}


def address(notification: Notification) -> str:
    return reverse("admin:notifications_notification_change", args=[notification.pk])


def rows_on(response: Any) -> set[str]:
    return {str(row.pk) for row in response.context["cl"].result_list}


def act(client: Client, action: str, *rows: Notification, **extra: str) -> Any:
    data = {"action": action, ACTION_CHECKBOX_NAME: [str(row.pk) for row in rows], **extra}
    return client.post(LIST, data, follow=True)


def messages_on(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


class TestTheList:
    @pytest.mark.parametrize("status", Status)
    def test_every_status_is_shown_as_a_word_with_a_class(
        self, admin_client: Client, make: Make, status: Status
    ) -> None:
        make(**columns(status))
        page = admin_client.get(LIST).content.decode()
        assert f'notification-status-{status}">{status}</span>' in page

    def test_the_style_sheet_of_the_statuses_is_linked(
        self, admin_client: Client, make: Make
    ) -> None:
        assert "notifications/admin.css" in admin_client.get(LIST).content.decode()
        assert "notifications/admin.css" in admin_client.get(address(make())).content.decode()

    def test_the_newest_stand_first(self, admin_client: Client, make: Make) -> None:
        ids = [str(make().pk) for _ in range(3)]
        shown = [str(row.pk) for row in admin_client.get(LIST).context["cl"].result_list]
        assert shown == ids[::-1]

    def test_a_full_page_takes_fewer_than_15_queries(
        self, admin_client: Client, tenant: Tenant
    ) -> None:
        tenants = [tenant, *(Tenant.objects.create(name=f"t{i}") for i in range(5))]
        drafts = [draft(tenant=tenants[i % 6], to=f"{i}@example.com") for i in range(300)]
        Notification.objects.bulk_create(Notification(**values) for values in drafts)
        with CaptureQueriesContext(connection) as queries:
            response = admin_client.get(LIST)
        assert len(response.context["cl"].result_list) == 50
        assert len(queries) < 15

    def test_no_statement_counts_the_table_or_reads_contents(
        self, admin_client: Client, make: Make
    ) -> None:
        make()
        with CaptureQueriesContext(connection) as queries:
            for search in ("", "?q=ada@example.com", "?status=failed", "?p=1"):
                assert admin_client.get(LIST + search).status_code == 200
        mine = [q["sql"] for q in queries if "notifications_notification" in q["sql"]]
        counts = [sql for sql in mine if "COUNT(" in sql]
        assert counts
        assert all(re.search(r"LIMIT 10001\b", sql) for sql in counts)
        assert not any('"content"' in sql for sql in mine)

    def test_pages_lead_forward_and_back_up_to_the_bound(
        self, admin_client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lists, "COUNTED_ROWS", 120)
        Notification.objects.bulk_create(Notification(**draft(tenant=tenant)) for _ in range(130))
        pages = [rows_on(admin_client.get(f"{LIST}?p={n}")) for n in (1, 2, 3)]
        assert [len(page) for page in pages] == [50, 50, 20]
        assert len(set.union(*pages)) == 120
        page = admin_client.get(LIST).content.decode()
        assert "The newest 120 are listed" in page
        assert "?p=3" in page

    def test_a_short_list_says_nothing_of_a_bound(self, admin_client: Client, make: Make) -> None:
        make()
        assert "are listed" not in admin_client.get(LIST).content.decode()

    @pytest.mark.parametrize(
        ("channel", "to", "shown"),
        [
            (Channel.EMAIL, "ada.lovelace@example.com", "a…@example.com"),
            (Channel.SMS, "+14155550123", "+1415…23"),
            (Channel.WEBHOOK, "https://example.com/hook/secret", "https://example.com/…"),
        ],
    )
    def test_recipients_are_masked_for_everybody(
        self, admin_client: Client, make: Make, channel: Channel, to: str, shown: str
    ) -> None:
        row = make(channel=channel, to=to, content={"body": f"Sent to {to}"})
        for url in (LIST, address(row)):
            page = admin_client.get(url).content.decode()
            assert shown in page
            assert to not in page


class TestFilters:
    @pytest.mark.parametrize("status", Status)
    def test_a_status_finds_its_rows_and_no_others(
        self, admin_client: Client, make: Make, status: Status
    ) -> None:
        rows = {each: str(make(**columns(each)).pk) for each in Status}
        assert rows_on(admin_client.get(LIST, {"status": status})) == {rows[status]}

    def test_channel_priority_and_tenant_narrow_the_list(
        self, admin_client: Client, make: Make
    ) -> None:
        other = Tenant.objects.create(name="other")
        urgent = make(priority=Priority.URGENT)
        text = make(channel=Channel.SMS, to="+14155550123")
        foreign = make(tenant=other)
        for query, row in (
            ({"priority__exact": "0"}, urgent),
            ({"channel__exact": "sms"}, text),
            ({"tenant": "other"}, foreign),
        ):
            assert rows_on(admin_client.get(LIST, query)) == {str(row.pk)}

    def test_a_word_that_is_no_status_filters_nothing(
        self, admin_client: Client, make: Make
    ) -> None:
        row = make()
        assert rows_on(admin_client.get(LIST, {"status": "lost"})) == {str(row.pk)}

    @pytest.mark.parametrize("lookup", ["to__contains", "content__icontains", "id__startswith"])
    def test_a_lookup_that_could_scan_is_refused(self, admin_client: Client, lookup: str) -> None:
        assert admin_client.get(LIST, {lookup: "a"}).status_code == 400


class TestSearch:
    def test_id_recipient_and_key_are_found_when_given_whole(
        self, admin_client: Client, make: Make
    ) -> None:
        row = make(to="grace@example.com", idempotency_key="order-7")
        make(idempotency_key="order-70")
        for term in (str(row.pk), row.pk.hex, "grace@example.com", "order-7", " order-7 "):
            assert rows_on(admin_client.get(LIST, {"q": term})) == {str(row.pk)}

    def test_a_key_that_looks_like_an_id_is_found(self, admin_client: Client, make: Make) -> None:
        key = str(uuid4())
        row = make(idempotency_key=key)
        assert rows_on(admin_client.get(LIST, {"q": key})) == {str(row.pk)}

    @pytest.mark.parametrize("term", ["grace", "%", "order", "GRACE@EXAMPLE.COM", "\x00", "'"])
    def test_a_part_finds_nothing(self, admin_client: Client, make: Make, term: str) -> None:
        make(to="grace@example.com", idempotency_key="order-7")
        response = admin_client.get(LIST, {"q": term})
        assert response.status_code == 200
        assert term == "\x00" or rows_on(response) == set()

    def test_no_statement_of_a_search_matches_patterns(
        self, admin_client: Client, make: Make
    ) -> None:
        make()
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(LIST, {"q": "ada@example.com"})
        assert not any("LIKE" in query["sql"].upper() for query in queries)


class TestTheDetail:
    def test_it_tells_attempts_receipts_and_what_is_waited_for(
        self, admin_client: Client, make: Make
    ) -> None:
        now = timezone.now()
        row = make(state=State.UNKNOWN, provider="simulated", attempt_count=1)
        Attempt.objects.create(
            notification=row,
            number=1,
            provider="simulated",
            outcome="ambiguous",
            code="timeout",
            duration_ms=1250,
            finished_at=now,
        )
        Receipt.objects.create(
            notification=row,
            provider="simulated",
            event_id="event-1",
            kind=ReceiptState.IN_TRANSIT,
            occurred_at=now,
        )
        page = admin_client.get(address(row)).content.decode()
        for text in ("ambiguous", "timeout", "1250 ms", "event-1", "in_transit", "by hand"):
            assert text in page

    def test_content_is_escaped_and_readable(self, admin_client: Client, make: Make) -> None:
        row = make(content={"subject": "ü", "html": "<script>alert(1)</script>\nline two"})
        page = admin_client.get(address(row)).content.decode()
        assert "<script>alert(1)" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\nline two" in page

    def test_json_keeps_its_shape(self, admin_client: Client, make: Make) -> None:
        row = make(
            channel=Channel.WEBHOOK, to="https://example.com", content={"payload": [1, None]}
        )
        page = html.unescape(admin_client.get(address(row)).content.decode())
        assert "[\n  1,\n  null\n]" in page

    def test_the_timeline_tells_everything_in_its_order(
        self, admin_client: Client, make: Make
    ) -> None:
        row = make(
            state=State.RETRY_WAIT,
            attempt_count=2,
            provider="simulated",
            error_code="timeout",
            due_at=timezone.now() + timedelta(minutes=5),
        )
        for number in (2, 1):
            Attempt.objects.create(
                notification=row,
                number=number,
                provider="simulated",
                outcome="transient",
                code=f"code-{number}",
                duration_ms=10,
                finished_at=row.created_at + timedelta(seconds=number),
            )
        page = admin_client.get(address(row)).content.decode()
        told = re.findall(r"<time>(.*?)</time> <strong>(.*?)</strong>", page)
        assert [title for _, title in told] == [
            "Accepted",
            "Attempt 1 at simulated: transient",
            "Attempt 2 at simulated: transient",
            "Waits",
        ]
        assert told[-1][0] == "now"
        assert "Why it has not gone yet" in page
        assert "attempt 2 came to timeout; the next is due then" in page

    def test_html_is_shown_in_a_frame_that_can_do_nothing(
        self, admin_client: Client, make: Make
    ) -> None:
        row = make(content={"html": "<b>Hello</b>"})
        page = admin_client.get(address(row)).content.decode()
        [frame] = re.findall(r"<iframe[^>]*>", page)
        assert re.search(r"\bsandbox(?= srcdoc)", frame)
        assert "default-src &#x27;none&#x27;" in frame

    @pytest.mark.parametrize(
        ("status", "offered"),
        [
            (Status.FAILED, {"retry_selected"}),
            (Status.QUEUED, {"cancel_selected"}),
            (Status.UNKNOWN, {"retry_selected", "cancel_selected"}),
            (Status.DELIVERED, set()),
        ],
    )
    def test_only_what_is_possible_now_is_offered(
        self, admin_client: Client, make: Make, status: Status, offered: set[str]
    ) -> None:
        page = admin_client.get(address(make(**columns(status)))).content.decode()
        assert set(re.findall(r'name="action" value="(\w+)"', page)) == offered

    def test_whoever_may_reveals_the_recipient_and_that_is_logged(
        self, staff: Callable[..., Client], make: Make
    ) -> None:
        row = make(content={"body": "For ada@example.com"})
        client = staff("view_notification", "reveal_notification")
        assert "Reveal" in client.get(address(row)).content.decode()
        response = client.post(f"{address(row)[: -len('change/')]}reveal/")
        assert response.content.decode().count("ada@example.com") == 2
        assert "no-store" in response["Cache-Control"]
        [entry] = LogEntry.objects.all()
        assert (entry.user.get_username(), entry.object_id) == ("staff", str(row.pk))
        assert entry.change_message == "Revealed the recipient."

    def test_without_the_permission_nothing_is_revealed(
        self, staff: Callable[..., Client], make: Make
    ) -> None:
        row = make()
        client = staff("view_notification")
        url = f"{address(row)[: -len('change/')]}reveal/"
        assert "reveal" not in client.get(address(row)).content.decode()
        assert client.post(url).status_code == 403
        assert client.get(url).status_code == 403
        assert not LogEntry.objects.exists()

    def test_it_takes_no_more_than_15_queries(self, admin_client: Client, make: Make) -> None:
        row = make()
        now = timezone.now()
        Attempt.objects.bulk_create(
            Attempt(
                notification=row,
                number=number,
                provider="simulated",
                outcome="transient",
                duration_ms=0,
                finished_at=now,
            )
            for number in range(1, 30)
        )
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(address(row))
        assert len(queries) <= 15

    def test_nothing_can_be_changed_added_or_deleted(
        self, admin_client: Client, make: Make
    ) -> None:
        row = make()
        assert admin_client.post(address(row), {"to": "eve@example.com"}).status_code == 403
        assert admin_client.get(reverse("admin:notifications_notification_add")).status_code == 403
        delete = reverse("admin:notifications_notification_delete", args=[row.pk])
        assert admin_client.post(delete, {"post": "yes"}).status_code == 403
        row.refresh_from_db()
        assert row.to == "ada@example.com"

    def test_an_id_that_does_not_exist_leads_back_instead_of_failing(
        self, admin_client: Client
    ) -> None:
        for id in (uuid4(), "nonsense"):
            url = reverse("admin:notifications_notification_change", args=[id])
            assert admin_client.get(url).status_code == 302


class TestActions:
    def test_retry_puts_what_failed_back_in_line_and_says_what_it_left(
        self, admin_client: Client, make: Make
    ) -> None:
        failed, delivered = make(state=State.FAILED), make(**columns(Status.DELIVERED))
        response = act(admin_client, "retry_selected", failed, delivered)
        failed.refresh_from_db()
        delivered.refresh_from_db()
        assert (failed.status, delivered.status) == (Status.QUEUED, Status.DELIVERED)
        done, left = messages_on(response)
        assert done == "1 notification back in the queue."
        assert left.startswith("1 notification left alone: it is delivered")

    def test_unknown_is_not_retried_before_the_risk_is_accepted(
        self, admin_client: Client, make: Make
    ) -> None:
        unknown, failed = make(state=State.UNKNOWN), make(state=State.FAILED)
        response = act(admin_client, "retry_selected", unknown, failed)
        assert "may get the message twice" in response.content.decode()
        assert "duplicates are possible" in response.content.decode()
        for row in (unknown, failed):
            before = row.state
            row.refresh_from_db()
            assert row.state == before

    def test_with_the_risk_accepted_unknown_is_retried_and_marked(
        self, admin_client: Client, make: Make
    ) -> None:
        unknown, failed = make(state=State.UNKNOWN), make(state=State.FAILED)
        act(admin_client, "retry_selected", unknown, failed, unknown="retry")
        for row in (unknown, failed):
            row.refresh_from_db()
        assert (unknown.status, failed.status) == (Status.QUEUED, Status.QUEUED)
        assert (unknown.duplicate_risk, failed.duplicate_risk) == (True, False)

    def test_unknown_can_be_left_out(self, admin_client: Client, make: Make) -> None:
        unknown, failed = make(state=State.UNKNOWN), make(state=State.FAILED)
        act(admin_client, "retry_selected", unknown, failed, unknown="leave")
        for row in (unknown, failed):
            row.refresh_from_db()
        assert (unknown.status, failed.status) == (Status.UNKNOWN, Status.QUEUED)

    def test_the_confirmation_page_sends_what_it_shows(
        self, admin_client: Client, make: Make
    ) -> None:
        unknown, failed = make(state=State.UNKNOWN), make(state=State.FAILED)
        page = act(admin_client, "retry_selected", unknown, failed).content.decode()
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', page)
        rows = [value for name, value in fields if name == ACTION_CHECKBOX_NAME]
        assert sorted(rows) == sorted([str(unknown.pk), str(failed.pk)])
        assert ("action", "retry_selected") in fields

    def test_cancel_tells_apart_what_is_cancelled_asked_for_and_refused(
        self, admin_client: Client, make: Make
    ) -> None:
        queued, sending, sent = (
            make(**columns(status)) for status in (Status.QUEUED, Status.SENDING, Status.SENT)
        )
        told = messages_on(act(admin_client, "cancel_selected", queued, sending, sent))
        for row in (queued, sending, sent):
            row.refresh_from_db()
        assert queued.status == Status.CANCELLED
        assert (sending.status, sending.cancel_requested) == (Status.SENDING, True)
        assert sent.status == Status.SENT
        assert told[0] == "1 notification cancelled."
        assert "may be with the provider already" in told[1]
        assert told[2].startswith("1 notification left alone: it is sent")

    def test_what_was_done_stands_in_the_history(self, admin_client: Client, make: Make) -> None:
        failed, sent = make(state=State.FAILED), make(state=State.SENT)
        act(admin_client, "retry_selected", failed, sent)
        assert [e.object_id for e in LogEntry.objects.all()] == [str(failed.pk)]
        history = reverse("admin:notifications_notification_history", args=[failed.pk])
        assert "Retried." in admin_client.get(history).content.decode()

    def test_one_click_handles_a_bounded_number(self, admin_client: Client, tenant: Tenant) -> None:
        Notification.objects.bulk_create(
            Notification(**draft(tenant=tenant, state=State.FAILED)) for _ in range(501)
        )
        data = {"action": "retry_selected", ACTION_CHECKBOX_NAME: "x", "select_across": "1"}
        told = messages_on(admin_client.post(LIST, data, follow=True))
        assert told[0].startswith("Only the first 500")
        assert Notification.objects.with_status(Status.FAILED).count() == 1

    def test_whoever_may_only_look_gets_no_actions(
        self, staff: Callable[..., Client], make: Make
    ) -> None:
        failed = make(state=State.FAILED)
        client = staff("view_notification")
        assert client.get(LIST).status_code == 200
        page = client.get(address(failed)).content.decode()
        assert "retry_selected" not in page
        act(client, "retry_selected", failed)
        failed.refresh_from_db()
        assert failed.status == Status.FAILED

    @pytest.mark.parametrize(
        ("permission", "action", "state", "status"),
        [
            ("retry_notification", "retry_selected", State.FAILED, Status.QUEUED),
            ("cancel_notification", "cancel_selected", State.QUEUED, Status.CANCELLED),
        ],
    )
    def test_each_action_has_a_permission_of_its_own(
        self,
        staff: Callable[..., Client],
        make: Make,
        permission: str,
        action: str,
        state: State,
        status: Status,
    ) -> None:
        rows = {s: make(state=s) for s in (State.FAILED, State.QUEUED)}
        client = staff(permission)
        assert action in client.get(address(rows[state])).content.decode()
        for each in ("retry_selected", "cancel_selected"):
            act(client, each, *rows.values())
        for row in rows.values():
            row.refresh_from_db()
        assert rows.pop(state).status == status
        [other] = rows
        assert rows[other].state == other

    def test_the_reason_stands_in_the_history_and_in_the_timeline(
        self, admin_client: Client, make: Make
    ) -> None:
        row = make(state=State.FAILED)
        response = act(admin_client, "retry_selected", row, reason="mailbox is empty again")
        assert LogEntry.objects.get().change_message == "Retried: mailbox is empty again"
        assert response.redirect_chain[-1][0] == LIST
        page = admin_client.get(address(row)).content.decode()
        assert "Retried: mailbox is empty again" in page

    def test_from_the_page_it_leads_back_to_the_page(
        self, admin_client: Client, make: Make
    ) -> None:
        row = make(state=State.FAILED)
        response = act(admin_client, "retry_selected", row, **{"from": "page"})
        assert response.redirect_chain[-1][0] == address(row)

    def test_without_any_permission_the_page_is_closed(
        self, staff: Callable[..., Client], make: Make
    ) -> None:
        assert staff().get(address(make())).status_code == 403


class TestBatches:
    def test_a_batch_shows_its_counts_and_leads_to_its_notifications(
        self, admin_client: Client, tenant: Tenant, make: Make
    ) -> None:
        batch = Batch.objects.create(tenant=tenant)
        mine = [make(batch=batch), make(batch=batch), make(batch=batch, state=State.FAILED)]
        make()
        url = reverse("admin:notifications_batch_change", args=[batch.pk])
        page = admin_client.get(url).content.decode()
        assert re.search(r">failed</span> 1\s.*>queued</span> 2", page)
        [link] = re.findall(r'href="([^"]+)">show them', page)
        assert rows_on(admin_client.get(html.unescape(link))) == {str(row.pk) for row in mine}

    def test_the_list_takes_fewer_than_15_queries(
        self, admin_client: Client, tenant: Tenant
    ) -> None:
        Batch.objects.bulk_create(Batch(tenant=tenant) for _ in range(60))
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(reverse("admin:notifications_batch_changelist"))
        assert len(queries) < 15

    def test_a_batch_cannot_be_changed_or_deleted(
        self, admin_client: Client, tenant: Tenant
    ) -> None:
        batch = Batch.objects.create(tenant=tenant)
        for page in ("change", "delete"):
            url = reverse(f"admin:notifications_batch_{page}", args=[batch.pk])
            assert admin_client.post(url, {"post": "yes"}).status_code == 403


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL is judged by what it reads")
@pytest.mark.parametrize("status", ["failed", "cancelled", "expired", "suppressed", "digested"])
def test_on_sqlite_what_ended_unsent_is_found_by_its_index(status: str) -> None:
    rows = Notification.objects.with_status(Status(status)).order_by("-pk")
    assert "notifications_unsent_idx" in rows.explain()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL is judged by what it reads")
@pytest.mark.parametrize(
    ("status", "index"),
    [
        (Status.UNDELIVERED, "notifications_not_arrived_idx"),
        (Status.SENT, "notifications_unproven_idx"),
        (Status.SCHEDULED, "notifications_scheduled_idx"),
    ],
)
def test_on_sqlite_what_is_rare_is_found_by_its_index(status: Status, index: str) -> None:
    rows = Notification.objects.with_status(status).order_by("-pk")
    assert index in rows.explain()


@pytest.mark.postgres
class TestAtSize:
    """What PostgreSQL plans for the list, once the table is too large to be read."""

    @pytest.fixture(autouse=True)
    def many(self, tenant: Tenant) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO notifications_notification (id, tenant_id, channel, priority, "
                '"to", content, metadata, fingerprint, state, receipt_state, wait_reason, '
                "wait_scope, look_up_note, cancel_requested, attempt_count, uncounted_attempts, "
                "abandon_count, was_ambiguous, duplicate_risk, provider, provider_message_id, "
                "error_code, error_detail, idempotency_key, category, trace, due_at, publish_at, "
                "created_at) "
                "SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, "
                "%s, 'email', 1, i || '@example.com', '{}', '{}', '', "
                "'sent', 0, '', '', '', false, 1, 0, 0, false, false, 'smtp', '', '', '', "
                "'key-' || i, '', '', now(), now(), now() FROM generate_series(1, 40000) AS i",
                [tenant.pk],
            )
            cursor.execute("ANALYZE notifications_notification")

    def read(self, client: Client, query: dict[str, str]) -> int:
        """The rows of the table that PostgreSQL touched to answer."""
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST, query).status_code == 200
        statements = [
            q["sql"]
            for q in queries
            if "notifications_notification" in q["sql"] and q["sql"].startswith("SELECT")
        ]
        with connection.cursor() as cursor:
            return sum(_touched(cursor, sql) for sql in statements)

    def test_the_list_reads_no_more_than_it_pages_through(self, admin_client: Client) -> None:
        assert self.read(admin_client, {}) <= lists.COUNTED_ROWS + 100
        assert self.read(admin_client, {"p": "200"}) <= 2 * lists.COUNTED_ROWS + 100

    def test_what_ended_unsent_is_found_without_reading_what_was_sent(
        self, admin_client: Client
    ) -> None:
        oldest = Notification.objects.order_by("pk")[:1]
        Notification.objects.filter(pk__in=oldest).update(state=State.FAILED)
        for status in ("failed", "cancelled", "expired", "suppressed", "digested"):
            assert self.read(admin_client, {"status": status}) <= 10, status

    def test_what_did_not_arrive_is_found_without_reading_what_did(
        self, admin_client: Client
    ) -> None:
        oldest = Notification.objects.order_by("pk")[:1]
        Notification.objects.filter(pk__in=oldest).update(receipt_state=ReceiptState.BOUNCED)
        assert 1 <= self.read(admin_client, {"status": "undelivered"}) <= 10

    def test_what_nobody_has_confirmed_is_found_without_reading_what_arrived(
        self, admin_client: Client
    ) -> None:
        oldest = Notification.objects.earliest("pk")
        others = Notification.objects.exclude(pk=oldest.pk)
        others.update(receipt_state=ReceiptState.DELIVERED)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE notifications_notification")
        assert 1 <= self.read(admin_client, {"status": "sent"}) <= 10
        assert self.read(admin_client, {"status": "scheduled"}) == 0

    @pytest.mark.parametrize("state", [State.SENT, State.QUEUED, State.RETRY_WAIT, State.UNKNOWN])
    def test_a_rare_channel_or_priority_is_found_without_reading_the_others(
        self, admin_client: Client, state: State
    ) -> None:
        oldest = Notification.objects.order_by("pk")[:1]
        Notification.objects.filter(pk__in=oldest).update(
            channel=Channel.SMS, priority=Priority.URGENT, state=state
        )
        sms, urgent = {"channel__exact": "sms"}, {"priority__exact": str(int(Priority.URGENT))}
        none = {"channel__exact": "webhook"}, {"priority__exact": str(int(Priority.BULK))}
        for query in (sms, urgent, sms | urgent, *none, sms | none[1]):
            assert self.read(admin_client, query) <= 10, query
        everything = {"channel__exact": "email", "priority__exact": "1"}
        assert self.read(admin_client, everything) <= lists.COUNTED_ROWS + 110

    def test_what_waits_is_counted_from_the_newest_on(self, admin_client: Client) -> None:
        newest = Notification.objects.order_by("-pk")[:15_000]
        Notification.objects.filter(pk__in=newest).update(state=State.QUEUED)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE notifications_notification")
        assert self.read(admin_client, {"status": "queued"}) <= lists.COUNTED_ROWS + 100

    def test_a_search_reads_only_what_it_finds(self, admin_client: Client) -> None:
        for term in ("500@example.com", "key-500", str(uuid4())):
            assert self.read(admin_client, {"q": term}) <= 10, term


def _touched(cursor: Any, sql: str) -> int:
    cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
    return sum(_rows(cursor.fetchone()[0][0]["Plan"]))


def _rows(node: dict[str, Any]) -> Iterator[int]:
    if node.get("Relation Name") == "notifications_notification":
        removed = node.get("Rows Removed by Filter", 0)
        yield int((node["Actual Rows"] + removed) * node["Actual Loops"])
    for child in node.get("Plans", ()):
        yield from _rows(child)
