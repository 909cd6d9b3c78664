"""Whatever goes wrong is a problem: ours, Django's and DRF's, and it gives nothing away."""

import logging
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError
from django.test import Client, RequestFactory

from notifications.api import handlers, views
from notifications.api.problems import problem_of
from notifications.exceptions import Busy, NotPossible, TenantUnavailable
from tests.api.conftest import API, EMAIL

CANARY = "ada-canary@example.com"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    ["/notify/", "/notify/x", "/notifications/", "/batches/", "/batches/a/b", "/notifications/a/b"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_a_path_of_ours_that_leads_nowhere_is_a_problem(api: API, path: str, method: str) -> None:
    response = api.request(method, path, Accept="text/html")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/notify", "POST"),
        ("OPTIONS", "/notify", "POST"),
        ("TRACE", "/notify", "POST"),
        ("BREW", "/notify", "POST"),
        ("DELETE", "/notifications", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PUT", "/schema", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_there_is_a_405(api: API, method: str, path: str, allow: str) -> None:
    response = api.request(method, path)
    assert (response.status_code, response["Allow"]) == (405, allow)


@pytest.mark.django_db
def test_an_elsewhere_unknown_path_is_a_problem_unless_a_page_is_wanted() -> None:
    client = Client()
    assert client.get("/nowhere").json()["code"] == "not_found"
    page = client.get("/nowhere", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.django_db
def test_a_host_that_is_not_allowed_is_a_problem(api: API) -> None:
    for host in ("evil.example", "a b", "x" * 300, "é"):
        response = api.post("/notify", EMAIL, Host=host)
        assert (response.status_code, response.json()["code"]) == (400, "bad_request")


@pytest.mark.django_db
def test_what_is_unexpected_is_a_500_that_tells_and_logs_nothing_of_the_content(
    api: API, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(views, "accept_one", fail)
    with caplog.at_level(logging.DEBUG):
        response = api.post("/notify", {**EMAIL, "to": CANARY})
    assert response.status_code == 500
    assert CANARY not in response.content.decode() + caplog.text
    assert "unexpected RuntimeError in fail (" in caplog.text
    assert response["X-Request-ID"] in caplog.text


@pytest.mark.django_db
def test_nothing_of_a_request_is_logged(api: API, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        api.post("/notify", {**EMAIL, "to": CANARY, "body": CANARY})
        api.post("/notify", {**EMAIL, "to": f"{CANARY}, b@example.com", "x": CANARY})
        api.post("/notify", f'{{"{CANARY}'.encode())
    assert CANARY not in caplog.text
    assert str(api.token) not in caplog.text


@pytest.mark.django_db
def test_a_request_id_is_repeated_where_it_is_safe(api: API) -> None:
    assert api.get("/notifications", X_Request_ID="abc-123")["X-Request-ID"] == "abc-123"
    for unsafe in ("", "a b", "<script>", "é", "x" * 129, "a\r\nb"):
        given = api.get("/notifications?x=1", X_Request_ID=unsafe)
        assert len(given["X-Request-ID"]) == 36


@pytest.mark.django_db
def test_answers_are_not_to_be_stored(api: API) -> None:
    assert api.get("/notifications")["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Busy(), 409, "busy"),
        (NotPossible("sent", "it is sent"), 409, "not_possible"),
        (TenantUnavailable(), 403, "tenant_disabled"),
        (InterfaceError(), 503, "database_unavailable"),
        (SuspiciousOperation(), 400, "bad_request"),
        (PermissionDenied(), 403, "forbidden"),
        (ValueError(), 500, "internal_error"),
    ],
)
def test_errors_have_their_problem(error: Exception, status: int, code: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)


def test_who_may_come_back_is_told_when() -> None:
    assert problem_of(Busy()).headers == {"Retry-After": "1"}
    assert problem_of(InterfaceError()).headers == {"Retry-After": "5"}


def test_django_s_own_errors_are_problems_under_our_paths_and_pages_elsewhere() -> None:
    ours = RequestFactory().get("/notifications", headers={"Accept": "text/html"})
    page = RequestFactory().get("/admin/", headers={"Accept": "text/html"})
    for handler, status in (
        (handlers.server_error, 500),
        (lambda r: handlers.bad_request(r, ValueError()), 400),
        (lambda r: handlers.permission_denied(r, ValueError()), 403),
    ):
        assert handler(ours).status_code == handler(page).status_code == status
        assert handler(ours)["Content-Type"] == "application/problem+json"
        assert handler(page)["Content-Type"].startswith("text/html")
