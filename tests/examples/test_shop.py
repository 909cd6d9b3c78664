"""The example shop, apart from this repository: its own tests, and an order from end to end."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import requests

import notifications
from tests.processes import ROOT, Process, Processes, wait_until
from tests.providers import receiver, smtp_server
from tests.servers.base import free_port
from tests.test_docs import BLOCK, LINK, blocks, table

SHOP = ROOT / "examples" / "shop"
README = SHOP / "README.md"
PASSWORD = "of-the-admin"
PATIENCE = 30.0
INFORMED = re.compile(r'field-informed_at.*?class="readonly">[^<]*\d{4}', re.DOTALL)

IN_ONE_PROCESS = """
import sys
import django; django.setup()
from django.core.management import call_command
for command in sys.argv[1:]:
    call_command(*command.split())
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy, with a database of its own."""
    ignored = shutil.ignore_patterns("db.sqlite3*", ".venv", "__pycache__")
    return shutil.copytree(SHOP, tmp_path / "shop", ignore=ignored)


@pytest.fixture
def mailbox() -> Iterator[smtp_server.Server]:
    server = smtp_server.Server(smtp_server.Script())
    server.start()
    yield server
    server.stop(no_assert=True)


@pytest.fixture
def partner() -> Iterator[receiver.Receiver]:
    with receiver.serving() as server:
        yield server


PUBLIC = ("models", "exceptions", "signals", "testing", "api.wsgi")
"""Modules of ours that the documentation has projects import from; all else comes from the top."""


def test_it_imports_nothing_but_what_is_public() -> None:
    found = set()
    for path in SHOP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                found |= {(node.module or "", alias.name) for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {(alias.name, "") for alias in node.names}
    ours = {(m, name) for m, name in found if m.partition(".")[0] == "notifications"}
    assert ours
    public = {("notifications", name) for name in (*notifications.__all__, "worker")}
    modules = {f"notifications.{module}" for module in PUBLIC}
    assert {each for each in ours - public if each[0] not in modules} == set()


def environment(shop: Path, **variables: object) -> dict[str, str]:
    paths = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{shop}", "PYTHONUNBUFFERED": "1"}
    return paths | {name: str(value) for name, value in variables.items()}


def test_its_own_tests_pass(shop: Path) -> None:
    done = run([str(shop / "manage.py"), "test"], shop, environment(shop))
    ran = re.search(r"Ran (\d+) tests", done)
    assert ran, done
    assert int(ran[1]) == len(re.findall(r"def test_", (SHOP / "orders/tests.py").read_text()))


def test_an_order_is_placed_and_shipped_as_its_readme_says(
    shop: Path, processes: Processes, mailbox: smtp_server.Server, partner: receiver.Receiver
) -> None:
    env = environment(
        shop, EMAIL_HOST="127.0.0.1", EMAIL_PORT=mailbox.port, PARTNER_URL=partner.url()
    )
    set_up(shop, env)
    process, url = serve(shop, processes, env)
    browser = Browser(url)

    order = {"product": 2, "quantity": 3, "name": "Ada", "email": "ada@example.com"}
    page = browser.post("/", **order, phone="+14155550123")
    wait_until(lambda: "Sent" in browser.get(page), PATIENCE, "a confirmation that was sent")
    [mail] = mailbox.handler.arrived
    text = message_from_bytes(mail.data, policy=policy.default).get_body(("plain",))
    assert text is not None
    assert "3 × Darjeeling" in text.get_content()
    assert page in text.get_content()

    browser.post("/admin/login/?next=/admin/", username="grace", password=PASSWORD)
    browser.post("/admin/orders/order/", action="ship", _selected_action=1)
    wait_until(lambda: "Delivered" in browser.get(page), PATIENCE, "a text message")
    call = wait_until(lambda: partner.arrived, PATIENCE, "a webhook")[0]
    assert json.loads(call.body)["type"] == "order.shipped"
    assert json.loads(call.body)["data"] == {"order": 1, "product": 2, "quantity": 3}
    assert call.headers["webhook-signature"].startswith("v1,")

    wait_until(lambda: INFORMED.search(browser.get("/admin/orders/order/1/change/")), PATIENCE)

    browser.post("/admin/password_reset/", email="grace@example.com")
    wait_until(lambda: len(mailbox.handler.arrived) == 2, PATIENCE, "a link to a new password")
    assert f"{url}/accounts/reset/".encode() in mailbox.handler.arrived[1].data
    told = browser.get("/admin/notifications/notification/")
    assert "@example.com" in told
    assert "grace@example.com" not in told, "recipients are masked"

    process.stop()
    assert "Stopped." in process.text()


def test_what_its_readme_names_is_there() -> None:
    for target in LINK.findall(BLOCK.sub("", README.read_text())):
        assert (SHOP / target).exists(), target
    source = (SHOP / "shop" / "settings.py").read_text()
    read = re.findall(r"env(?:\.get\(|\[)\"(\w+)\"", source)
    told = " ".join(table(README, "For real"))
    assert set(re.findall(r"`(\w+)`", told)) == set(read)


class Browser:
    """Fills in forms, as people do."""

    def __init__(self, url: str) -> None:
        self.url, self.session = url, requests.Session()

    def get(self, path: str) -> str:
        answer = self.session.get(self._at(path), timeout=10)
        answer.raise_for_status()
        return answer.text

    def post(self, path: str, **values: object) -> str:
        """Where it led to."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path))
        assert token, path
        data = {**values, "csrfmiddlewaretoken": token[1]}
        answer = self.session.post(self._at(path), data=data, timeout=10)
        answer.raise_for_status()
        return answer.url

    def _at(self, path: str) -> str:
        return path if path.startswith("http") else f"{self.url}{path}"


def set_up(shop: Path, env: dict[str, str]) -> None:
    """What the README says to do before `serve`, but for the prompts of one command."""
    commands = re.findall(r"^python manage\.py (.+)$", "\n".join(blocks(README, "sh")), re.M)
    assert commands[-2:] == ["createsuperuser", "serve"]
    admin = "createsuperuser --noinput --username grace --email grace@example.com"
    variables = {"DJANGO_SETTINGS_MODULE": "shop.settings", "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    run(
        ["-c", IN_ONE_PROCESS, "check --fail-level WARNING", *commands[:-2], admin],
        shop,
        env | variables,
    )


def serve(shop: Path, processes: Processes, env: dict[str, str]) -> tuple[Process, str]:
    port = free_port()
    command = [sys.executable, str(shop / "manage.py"), "serve", "--port", str(port)]
    process = processes.start("shop", command, env)
    process.wait_for_text("Serving on", timeout=60)
    return process, f"http://127.0.0.1:{port}"


def run(arguments: list[str], shop: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=shop, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
