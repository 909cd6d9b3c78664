"""Follows docs/quickstart.md to the letter, up to an e-mail that has arrived.

    python -m tests.package.quickstart --python PYTHON WHEEL     in a clean virtual environment

The suite does so with what is installed (`follow`), in which the wheel is unpacked on the path.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from aiosmtpd.controller import Controller

from tests.acceptance.test_newcomer import KEY, Mailbox
from tests.processes import ROOT, Process, wait_until
from tests.servers.base import free_port

PAGE = ROOT / "docs" / "quickstart.md"
REQUIREMENT = "django-notifications-engine"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (shop/\w+\.py)\n")


def follow(directory: Path, env: Mapping[str, str], wheel: Path | None) -> list[str]:
    """Do what the page says in `directory`; the subjects of the e-mails that have arrived.

    With a `wheel` it is what gets installed, in an environment made as the page says.
    """
    box, smtp_port, port = Mailbox(), free_port(), free_port()
    mail_server = Controller(box, hostname="127.0.0.1", port=smtp_port)
    mail_server.start()
    reader = Reader(directory, {**env, "SMTP_PORT": str(smtp_port)}, wheel, port)
    try:
        for language, text in BLOCK.findall(PAGE.read_text()):
            reader.do(language, text)
        wanted = 2 if wheel else 1  # what came from a process of its own takes half a minute
        wait_until(lambda: len(box.envelopes) >= wanted, timeout=60, what="an e-mail")
    finally:
        reader.stop()
        mail_server.stop()
    return [message["Subject"] + ": " + _text(message) for message in box.messages()]


class Reader:
    """Somebody who follows the page block by block."""

    def __init__(
        self, directory: Path, env: Mapping[str, str], wheel: Path | None, port: int
    ) -> None:
        self.directory, self.wheel, self.port = directory, wheel, port
        path = f"{directory}/.venv/bin:{env['PATH']}" if wheel else env["PATH"]
        self.env = {**env, "PATH": path, "SMTP_HOST": "127.0.0.1"}
        self.key = ""
        self.server: Process | None = None

    def do(self, language: str, text: str) -> None:
        if language == "python":
            self._python(text)
        elif "manage.py serve" in text:
            self._serve(text)
        else:
            self._shell(text)

    def stop(self) -> None:
        if self.server:
            self.server.stop()

    def _python(self, text: str) -> None:
        found = FILE.match(text)
        if not found:
            self._run(["python", "manage.py", "shell", "-c", text])
            return
        mode = "a" if found[1].endswith("settings.py") else "w"
        with (self.directory / found[1]).open(mode) as file:
            file.write(text)

    def _serve(self, text: str) -> None:
        command = text.replace("8000", str(self.port)).strip()
        script = ["bash", "-c", f"cd {self.directory} && exec {command}"]
        self.server = Process("serve", script, self.env, self.directory / "serve.log")
        self.server.wait_for_text("Serving on", timeout=60)

    def _shell(self, text: str) -> None:
        script = text.replace("8000", str(self.port)).replace("nk_…", self.key)
        if self.wheel:
            script = script.replace(f'"{REQUIREMENT}[', f'"{self.wheel}[')
        elif "pip install" in script:  # it is installed already
            script = "\n".join(line for line in script.splitlines() if "django-admin" in line)
        written = self._run(["bash", "-ec", script])
        if key := KEY.search(written):
            self.key = key[0]

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def _text(message: object) -> str:
    return message.get_content().strip()  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow the quickstart with an installed wheel.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quickstart-") as name:
        directory = Path(name)
        kept = {
            k: v for k, v in os.environ.items() if k.startswith("PIP_") or k in ("HOME", "LANG")
        }
        python = Path(shutil.which(options.python) or options.python)
        (directory / "bin").mkdir()
        (directory / "bin" / "python").symlink_to(python)
        project = directory / "project"
        project.mkdir()
        env = {**kept, "PATH": f"{directory}/bin:/usr/bin:/bin"}
        mails = follow(project, env, options.wheel.resolve())
    assert sorted(mails) == ["Hello: From Python.", "Hello: It works."], mails
    sys.stdout.write(f"two e-mails have arrived, after {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
