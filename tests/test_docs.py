"""The documentation, run: what it shows works, what it names exists, what it lists is complete."""

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.management import get_commands
from django.db.models.functions import Now
from django.dispatch import Signal
from django.test import Client
from django.urls import URLPattern
from django.utils.module_loading import import_string

from notifications import conf, exceptions, notify, signals, urls
from notifications.api.query import LIST_PARAMETERS
from notifications.api_keys import make_key
from notifications.channels import CONTENT_FIELDS
from notifications.enums import AttemptOutcome, Channel, ReceiptState, State, Status, WaitReason
from notifications.lifecycle import MOVES, STATUS_OF_STATE, Move, status_of
from notifications.models import Tenant, Worker
from notifications.pipeline import policy, rescue, templates, tick
from notifications.pipeline.deliver import deliver
from notifications.providers.base import Provider
from notifications.providers.simulated import OUTCOMES, WITH_AMOUNT
from notifications.providers.webhook import WebhookProvider
from notifications.rendering import Part, compile_part, nodes, render, syntax
from notifications.rendering.filters import FILTERS
from notifications.settlements import RETRY_GRACE_SECONDS
from notifications.validation import COMMON_FIELDS
from notifications.worker import watch
from ops import diagram
from tests.processes import ROOT

README = ROOT / "README.md"
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("0*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
SOURCES = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

BY_WORKERS = (
    Move.CLAIM,
    Move.RELEASE,
    Move.MARK,
    Move.ACCEPT,
    Move.RETRY,
    Move.FAIL,
    Move.PARK,
    Move.ABANDON,
    Move.SUPPRESS,
)


def blocks(path: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(path.read_text()) if found == language]


def code(path: Path) -> str:
    """All that stands in code, in blocks or between backticks."""
    text = path.read_text()
    spans = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    return "\n".join([*spans, *(block for _, block in BLOCK.findall(text))])


def anchors(path: Path) -> set[str]:
    """What a link may name behind the #, as GitHub makes it of the headings."""
    headings = HEADING.findall(BLOCK.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def table(path: Path, heading: str) -> dict[str, list[str]]:
    """The first table under a heading: the text of its first column to the cells of its others."""
    lines = iter(path.read_text().splitlines())
    next(line for line in lines if line.lstrip("#") == f" {heading}" and line.startswith("#"))
    rows: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("|"):
            first, *others = (cell.strip() for cell in line.strip("|").split(" | "))
            rows[first] = others
        elif rows or line.startswith("#"):
            break
    return dict(list(rows.items())[2:])


def names(path: Path, heading: str) -> set[str]:
    """What stands in backticks in the first column of the table under a heading."""
    return {re.findall(r"`([^`]+)`", cell)[0] for cell in table(path, heading)}


# Links and examples


@page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(BLOCK.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target}: there is no such file"
        assert not anchor or anchor in anchors(file), f"{target}: there is no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, todo = set(), [README]
    while todo:
        path = todo.pop()
        seen.add(path)
        linked = (path.parent / link.partition("#")[0] for link in LINK.findall(path.read_text()))
        pages = {file.resolve() for file in linked if file.suffix == ".md"}
        todo += pages - seen
    assert seen >= set(PAGES) - {DOCS / "README.md"}


@pytest.mark.parametrize(
    "page", [README, DOCS / "security.md", *DECISIONS], ids=lambda path: path.name
)
def test_every_test_it_names_is_there(page: Path) -> None:
    for name in re.findall(r"\btest_\w+", code(page)):
        assert f"def {name}(" in SOURCES or list((ROOT / "tests").rglob(f"{name}.py")), name


@page
def test_every_make_target_it_names_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z][a-z-]*)", code(page)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@page
def test_every_management_command_it_names_is_there(page: Path) -> None:
    named = set(re.findall(r"manage\.py (\w+)", code(page)))
    assert named <= set(get_commands())


@page
def test_examples_of_json_and_python_can_be_read(page: Path) -> None:
    for example in blocks(page, "json"):
        json.loads(example)
    for example in blocks(page, "python"):
        ast.parse(example)


@pytest.mark.django_db(transaction=True)
def test_the_first_request_is_answered_as_shown() -> None:
    key = make_key()
    tenant = Tenant.objects.create(name="demo")
    tenant.api_keys.create(public_id=key.public_id, digest=key.digest)
    client = Client(headers={"Authorization": f"Bearer {key.token}"})
    request = next(b for b in blocks(README, "sh") if "/notify" in b)
    [body] = re.findall(r"-d '(.*?)'", request, re.DOTALL)
    [header] = re.findall(r"Idempotency-Key: (\S+)'", request)
    accepted, further = map(json.loads, blocks(README, "json"))

    headers = {"Idempotency-Key": header}
    answer = client.post("/notify", body, content_type="application/json", headers=headers)
    assert answer.status_code == 202
    assert _without_ids_and_times(answer.json()) == _without_ids_and_times(accepted)
    deliver(Channel.EMAIL, [answer.json()["id"]])
    detail = client.get(answer.json()["url"]).json()
    assert set(detail) == set(accepted) | set(further)
    assert _without_ids_and_times({name: detail[name] for name in further}) == (
        _without_ids_and_times(further)
    )


def _without_ids_and_times(value: Any) -> Any:
    """Each value, but of ids, URLs and times only whether there is one."""
    match value:
        case dict():
            return {k: _without_ids_and_times(v) for k, v in value.items() if k != "duration_ms"}
        case list():
            return [_without_ids_and_times(item) for item in value]
        case str() if re.search(r"[0-9a-f]{8}-|\d{4}-\d\d-\d\dT", value):
            return "…"
    return value


def test_the_project_of_the_readme_sends(tmp_path: Path) -> None:
    """Django's own new project, with the README's files added to it, and with no server about."""
    manage = [sys.executable, "-m", "django", "startproject", "shop", str(tmp_path)]
    subprocess.run(manage, check=True, timeout=60)
    for example in blocks(README, "python"):
        name = example.splitlines()[0].removeprefix("# ")
        with (tmp_path / name).open("a") as file:
            file.write(f"\n{example}")
    with (tmp_path / "shop/settings.py").open("a") as file:
        file.write('\nCELERY_BROKER_URL = "embedded://localhost"\nTIME_ZONE = "UTC"\n')
        file.write(MAIL_KEPT_IN_MEMORY)
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "DJANGO_SETTINGS_MODULE": "shop.settings"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.endswith("\nsent delivered delivered\n"), done.stdout + done.stderr


MAIL_KEPT_IN_MEMORY = """
import django
backend = "django.core.mail.backends.locmem.EmailBackend"
if django.VERSION < (6, 1):
    EMAIL_BACKEND = backend
else:
    MAILERS = {"default": {"BACKEND": backend}}
"""

USE = """
import time, types
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("check", fail_level="WARNING")
from notifications.worker import EmbeddedWorker
from shop import orders
from shop.celery import app
worker = EmbeddedWorker(app)
worker.start()
order = types.SimpleNamespace(pk=7, email="ada@example.com", save=lambda: None)
rows = [orders.ship(order), *orders.announce(["+14155550123", "+14155550124"])]
deadline = time.monotonic() + 20
while time.monotonic() < deadline and any(row.settled_at is None for row in rows):
    time.sleep(0.05)
    [row.refresh_from_db() for row in rows]
worker.stop()
print(*(row.status for row in rows))
"""


# Settings


def test_the_settings_of_the_readme_are_usable_and_complete() -> None:
    block = next(b for b in blocks(README, "python") if "NOTIFICATIONS = {" in b)
    namespace: dict[str, Any] = {"INSTALLED_APPS": []}
    exec(compile(block, "README.md", "exec"), namespace)
    shown = namespace["NOTIFICATIONS"]
    assert conf.parse(shown)[1] == []
    assert sorted(shown) == conf.known_keys()


@pytest.mark.parametrize(
    ("heading", "shape", "place"),
    [
        ("NOTIFICATIONS", conf.Settings, ()),
        ("CHANNELS", conf.ChannelSettings, ("CHANNELS", "email")),
        ("CHANNELS", conf.ChannelSettings, ("CHANNELS", "sms")),
        ("RETRY", conf.Retry, ("CHANNELS", "email", "RETRY")),
        ("PROVIDERS", conf.ProviderSettings, ("PROVIDERS", "mine")),
        ("CIRCUIT", conf.CircuitSettings, ("PROVIDERS", "mine", "CIRCUIT")),
        ("GATES", conf.GateSettings, ("GATES",)),
        ("MAIL", conf.MailSettings, ("MAIL",)),
    ],
)
def test_every_setting_is_listed_with_its_default(
    heading: str, shape: Any, place: tuple[str, ...]
) -> None:
    listed = table(DOCS / "settings.md", heading)
    assert {key.strip("`") for key in listed} == {
        f.metadata.get("key", f.name.upper()) for f in fields(shape)
    }
    least = {"BACKEND": conf.SIMULATED} if heading == "PROVIDERS" else {}
    plain = conf.parse(_nested(place, least))
    for key, (default, _) in listed.items():
        if default != "required":
            given = {**least, key.strip("`"): ast.literal_eval(default.strip("`"))}
            assert conf.parse(_nested(place, given)) == plain, f"the default of {key}"


def test_what_webhooks_do_otherwise_is_told() -> None:
    channels = conf.parse({})[0].channels
    [told] = re.findall(
        r"for `webhook` the default is `\"(\w+)\"`", (DOCS / "settings.md").read_text()
    )
    assert channels[Channel.WEBHOOK].on_unknown == told
    assert channels[Channel.EMAIL].on_unknown == channels[Channel.SMS].on_unknown == "park"


def _nested(place: tuple[str, ...], value: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in reversed(place):
        value = {key: value}
    return value


def test_every_option_of_the_providers_is_listed() -> None:
    text = (DOCS / "settings.md").read_text()
    backends = re.findall(r"^### Options of `(\S+)`$", text, re.MULTILINE)
    assert len(backends) == 5
    for backend in backends:
        listed = names(DOCS / "settings.md", f"Options of `{backend}`")
        assert listed == set(import_string(backend).known_options)


def test_every_variable_of_the_environment_is_listed() -> None:
    source = (ROOT / "project" / "settings.py").read_text()
    read = set(re.findall(r'\benv\.\w+\(\s*"(\w+)"', source))
    read |= set(re.findall(r'\benviron\W+(?:\w+\()?"(\w+)"', source))
    assert names(README, "Production") == read


# Tables


def test_the_endpoints_are_those_of_the_url_conf() -> None:
    served = set(_endpoints())
    for path, heading in ((README, "HTTP endpoints"), (DOCS / "api.md", "API")):
        listed = {tuple(name.split()) for name in names(path, heading)}
        assert listed == served, path.name


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _endpoints() -> Iterator[tuple[str, str]]:
    for pattern in urls.urlpatterns:
        if isinstance(pattern, URLPattern) and pattern.name:
            view = pattern.callback.view_class  # type: ignore[attr-defined] - all are class views
            path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
            yield from ((m, path) for m in METHODS if hasattr(view, m.lower()))


def test_our_management_commands_are_listed() -> None:
    listed = {name.split()[1] for name in names(README, "Management commands")}
    assert listed == {name for name, app in get_commands().items() if app == "notifications"}


def test_the_words_are_listed_in_full() -> None:
    api, concepts = DOCS / "api.md", DOCS / "concepts.md"
    assert names(README, "Statuses") == set(Status.values)
    assert names(concepts, "States") == set(State.values)
    assert names(concepts, "What an attempt comes to") == set(AttemptOutcome.values)
    assert names(concepts, "Receipts") == {r.label for r in ReceiptState if r}
    assert names(api, "Look at one") == set(WaitReason.values)
    assert names(api, "Send one") == COMMON_FIELDS | CONTENT_FIELDS
    assert names(api, "List") == set(LIST_PARAMETERS)
    hints = {f"{word}:{WITH_AMOUNT[word]}" if word in WITH_AMOUNT else word for word in OUTCOMES}
    assert names(README, "Try out what goes wrong") == hints


def test_states_and_receipts_lead_to_the_statuses_that_are_told() -> None:
    for cell, (_, status) in table(DOCS / "concepts.md", "States").items():
        assert status.startswith(f"`{STATUS_OF_STATE[State(cell.strip('`'))]}`")
    by_label = {receipt.label: receipt for receipt in ReceiptState}
    for cell, (rank, status) in table(DOCS / "concepts.md", "Receipts").items():
        receipt = by_label[cell.strip("`")]
        assert int(rank) == receipt.floor // 10
        assert status == f"`{status_of(State.SENT, receipt)}`"


def test_the_problems_are_those_that_are_answered() -> None:
    api = "\n".join(path.read_text() for path in (ROOT / "notifications" / "api").glob("*.py"))
    codes = set(re.findall(r'\bProblem\(\s*\d{3},\s*"(\w+)"', api))
    codes |= set(re.findall(r'\binvalid\(.*, "(\w+)"\)', api))
    codes |= set(re.findall(r'def invalid\(.* code: str = "(\w+)"', api))
    lines = (DOCS / "api.md").read_text().splitlines()
    listed = {found[1] for line in lines if (found := re.match(r"\| \d{3} \| `(\w+)`", line))}
    assert listed == codes


def test_the_recovery_times_follow_from_the_settings() -> None:
    settings = conf.parse({})[0]
    text = (DOCS / "operations.md").read_text()
    times = {
        "a worker was killed": settings.lease_seconds + rescue.GRACE_SECONDS + tick.RESCUE_SECONDS,
        "a broker message was lost": settings.hint_seconds + settings.dispatch_seconds,
        "the broker was away": settings.hint_seconds + settings.dispatch_seconds * 5,
        "a worker no longer hears its broker": (
            watch.PATIENCE_SECONDS + watch.ASK_SECONDS + settings.dispatch_seconds
        ),
        "Celery lost a retry": RETRY_GRACE_SECONDS + settings.dispatch_seconds,
    }
    for fault, seconds in times.items():
        assert f"| {fault} | {seconds:g} s" in text


def test_the_windows_are_those_that_are_told() -> None:
    assert (Provider.window, WebhookProvider.window) == (20, 32)
    assert "(twenty messages, 32 webhooks)" in (DOCS / "concepts.md").read_text()
    assert "one window, which is twenty, 32 webhooks" in README.read_text()


# Diagrams and decisions


def test_the_state_diagram_is_drawn_from_the_table_of_moves() -> None:
    drawn = diagram.draw()
    assert diagram.TARGET.read_text() == drawn, "draw it anew: python -m ops.diagram"
    assert f"](images/{diagram.TARGET.name})" in (DOCS / "concepts.md").read_text()
    marks: dict[tuple[str, str], set[str]] = defaultdict(set)
    for mark in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}circle"):
        if move := mark.get("data-move"):
            marks[move, mark.attrib["class"]].add(mark.attrib["data-state"])
    for move, (starts, ends) in MOVES.items():
        assert (marks[move, "from"], marks[move, "to"]) == (starts, ends)


def test_the_other_moves_are_those_of_the_table_of_moves() -> None:
    listed = {
        Move(move.strip("`")): tuple(set(re.findall(r"`(\w+)`", cell)) for cell in cells[:2])
        for move, cells in table(DOCS / "concepts.md", "Other moves").items()
    }
    assert listed == {move: MOVES[move] for move in Move if move not in BY_WORKERS}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_parts_and_its_place_in_the_index(page: Path) -> None:
    title, *parts = HEADING.findall(page.read_text())
    assert parts == ["Context", "Decision", "Consequences"]
    number, _, name = title.partition(". ")
    assert page.name.startswith(f"{int(number):04}-")
    index = (DOCS / "decisions" / "README.md").read_text()
    assert f"{number}. [{name}]({page.name})" in index


# Templates


def test_the_example_of_a_template_says_what_is_shown() -> None:
    source, said = blocks(DOCS / "templates.md", "text")
    [context] = map(json.loads, blocks(DOCS / "templates.md", "json"))
    parts = {"body": compile_part(source, Part.TEXT)}
    assert render(parts, context) == {"body": said}


def test_every_filter_is_listed_and_does_what_is_shown() -> None:
    listed = table(DOCS / "templates.md", "The language")
    assert all(compile_part(cell.strip("`").replace("…", ""), Part.TEXT) for cell in listed)
    rows = re.findall(
        r"^\| `(\{\{ x\\\|.*?)` \|.*?\| `(.*?)` \| `(.*?)` \|$",
        (DOCS / "templates.md").read_text(),
        re.MULTILINE,
    )
    assert {re.findall(r"\\\|(\w+)", source)[0] for source, _, _ in rows} == set(FILTERS)
    for source, value, said in rows:
        part = compile_part(source.replace("\\|", "|"), Part.TEXT)
        assert render({"x": part}, {"x": json.loads(value)}) == {"x": said}


def test_the_limits_of_templates_are_those_of_the_code() -> None:
    listed = table(DOCS / "templates.md", "Limits")
    numbers = re.findall(r"\d[\d,]*", " ".join(cell for [cell] in listed.values()))
    assert [int(number.replace(",", "")) for number in numbers] == [
        syntax.SOURCE_MAX,
        syntax.TAGS_MAX,
        syntax.DEPTH_MAX,
        nodes.ITERATIONS_MAX,
        nodes.OUTPUT_MAX // 1024,
        templates.TEMPLATES_MAX,
        templates.CALL_BYTES_MAX // 1024**2,
    ]


@pytest.mark.django_db
def test_the_requests_of_the_page_on_preferences_are_answered_as_shown() -> None:
    key = make_key()
    tenant = Tenant.objects.create(name="demo")
    tenant.api_keys.create(public_id=key.public_id, digest=key.digest)
    client = Client(headers={"Authorization": f"Bearer {key.token}"})
    requests: list[list[str]] = []
    for kind, text in BLOCK.findall((DOCS / "preferences.md").read_text()):
        requests += [[text]] if kind == "http" else []
        requests[-1] += [text] if kind == "json" else []
        if kind == "python":
            exec(compile(text, "preferences.md", "exec"), {})
    for request, body, *shown in requests:
        method, path = request.split()
        answer = client.generic(method, path, body, "application/json")
        assert answer.status_code in (200, 201, 202), answer.content
        said = _without_ids_and_times(answer.json())
        for expected in map(json.loads, shown):
            assert {name: said[name] for name in expected} == _without_ids_and_times(expected)
    assert len(requests) == 5


@pytest.mark.django_db(transaction=True)
def test_the_page_on_signals_and_errors_lists_all_and_its_examples_work() -> None:
    page = DOCS / "signals.md"
    declared = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert names(page, "Signals") == declared
    source = (ROOT / "notifications" / "signals.py").read_text()
    for name, first in re.findall(r'^(\w+) = Signal\(\)\n"""(.*)', source, re.MULTILINE):
        told, _ = table(page, "Signals")[f"`{name}`"]
        assert re.findall(r"`(\w+)`", told) == re.findall(r"`(\w+)`", first), name
    listed = {getattr(exceptions, name) for name in names(page, "Errors")}
    assert all(issubclass(error, exceptions.NotificationError) for error in listed)
    listen, refuse = blocks(page, "python")
    space: dict[str, Any] = {}
    exec(compile(refuse, page.name, "exec"), space)
    assert {pointer for pointer, _ in space["reasons"]} == {"/to", "/body"}
    exec(compile(listen, page.name, "exec"), space)
    try:
        row = notify("sms", to="+14155550123", body="Hello")
        deliver(Channel.SMS, [row.pk])
    finally:
        signals.notification_settled.disconnect(space["keep"])
    assert space["seen"] == [("sms", "delivered")]


@pytest.mark.django_db
def test_the_template_of_the_api_page_is_answered_as_shown() -> None:
    key = make_key()
    tenant = Tenant.objects.create(name="demo")
    tenant.api_keys.create(public_id=key.public_id, digest=key.digest)
    client = Client(headers={"Authorization": f"Bearer {key.token}"})
    text = (DOCS / "api.md").read_text().partition("\n## Templates\n")[2].partition("\n## ")[0]
    examples = [json.loads(block) for kind, block in BLOCK.findall(text) if kind == "json"]
    request, answer, context, said = examples
    made = client.put("/templates/order-shipped", request, content_type="application/json")
    assert made.status_code == 201
    shown = _without_ids_and_times(made.json())
    assert {**shown, "url": None} == {**_without_ids_and_times(answer), "url": None}
    path = "/templates/order-shipped/preview"
    assert client.post(path, context, content_type="application/json").json() == said


@pytest.mark.django_db
def test_the_rehearsal_of_the_api_page_is_answered_as_shown(settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RATE_LIMIT": "50/s"}}}
    Worker.objects.create(name="w@host", seen_at=Now())
    policy.forget()
    key = make_key()
    tenant = Tenant.objects.create(name="demo")
    tenant.api_keys.create(public_id=key.public_id, digest=key.digest)
    client = Client(headers={"Authorization": f"Bearer {key.token}"})
    text = (DOCS / "api.md").read_text()
    text = text.partition("\n### Try it without sending\n")[2].partition("\n## ")[0]
    [shown] = [json.loads(block) for kind, block in BLOCK.findall(text) if kind == "json"]
    asked = {"channel": shown["channel"], "to": shown["to"], "body": shown["content"]["body"]}
    answer = client.post("/notify?dry_run=true", asked, content_type="application/json").json()
    assert answer.pop("earliest_send_at")
    assert answer == {name: value for name, value in shown.items() if name != "earliest_send_at"}
