"""`manage.py load_templates`: part of every deploy, like `migrate`."""

import tomllib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from notifications.pipeline.template_store import put
from notifications.shortcuts import tenant_of
from notifications.template_validation import parse_template

MESSAGES = Path(__file__).parents[2] / "messages"


class Command(BaseCommand):
    help = "Stores what stands in orders/messages. A text that has changed is a new version."

    def handle(self, **options: Any) -> None:
        for path in sorted(MESSAGES.glob("*.toml")):
            draft = parse_template(tomllib.loads(path.read_text()))
            version, _ = put(tenant_of(None), path.stem, draft)
            self.stdout.write(f"{path.stem}: {version}")
