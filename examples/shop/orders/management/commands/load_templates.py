"""`manage.py load_templates`: part of every deploy, like `migrate`."""

import tomllib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from notifications import put_template

MESSAGES = Path(__file__).parents[2] / "messages"


class Command(BaseCommand):
    help = "Stores what stands in orders/messages. A text that has changed is a new version."

    def handle(self, **options: Any) -> None:
        for path in sorted(MESSAGES.glob("*.toml")):
            template = put_template(path.stem, **tomllib.loads(path.read_text()))
            self.stdout.write(f"{path.stem}: version {template.version}")
