"""A server that speaks for AWS: moto."""

import json
import sys
from typing import Any
from urllib.request import urlopen

from .base import Server


class MotoServer(Server):
    name = "moto"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-p", str(self.port)]

    def is_ready(self) -> bool:
        try:
            self.data()
        except OSError:
            return False
        return True

    def data(self) -> dict[str, Any]:
        """All that it keeps, by service and kind."""
        with urlopen(f"{self.url}/moto-api/data.json", timeout=5) as answer:
            return json.load(answer)
