"""Targets as Prometheus sees them: asked again and again; what the dead said last is kept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import requests
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

EVERY_SECONDS = 0.3


def parse(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(url: str) -> Samples:
    answer = requests.get(url, timeout=20)
    assert answer.status_code == 200, answer.text
    return parse(answer.text)


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of all samples under `name` that have these labels."""
    wanted = set(labels.items())
    return sum(v for (n, ls), v in samples.items() if n == f"notifications_{name}" and wanted <= ls)


class Targets:
    """What is scraped by name; `last` holds when each answered last, and what."""

    def __init__(self, urls: dict[str, str]) -> None:
        self.urls = urls
        self.last: dict[str, tuple[float, Samples]] = {}

    def look(self) -> None:
        for name, url in self.urls.items():
            with suppress(requests.RequestException):
                began = time.time()
                self.last[name] = began, scrape(url)

    @contextmanager
    def watched(self) -> Iterator[None]:
        done = threading.Event()

        def loop() -> None:
            while not done.wait(EVERY_SECONDS):
                self.look()

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def total(self, name: str, **labels: str) -> float:
        return sum(total(samples, name, **labels) for _, samples in self.last.values())
