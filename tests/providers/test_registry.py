"""One provider for each process and name."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ImproperlyConfigured

from notifications import conf
from notifications.enums import Channel
from notifications.providers.registry import forget_providers, get_provider
from notifications.providers.simulated import SimulatedProvider

from .conformance import message, send


class Closing(SimulatedProvider):
    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def fresh(settings):
    backend = f"{Closing.__module__}.{Closing.__qualname__}"
    settings.NOTIFICATIONS = {"PROVIDERS": {"closing": {"BACKEND": backend, "TIMEOUT": 7}}}
    yield
    forget_providers()


def test_threads_that_race_get_the_same_provider():
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: get_provider("closing"), range(64)))
    assert len(found) == 1


def test_it_gets_its_name_and_timeout():
    provider = get_provider("closing")
    assert (provider.name, provider.timeout) == ("closing", 7)


def test_a_provider_says_how_many_it_sends_at_once_and_the_settings_overrule_it(settings):
    assert get_provider("simulated").concurrency == SimulatedProvider.concurrency
    settings.NOTIFICATIONS = {
        "PROVIDERS": {"simulated": {"BACKEND": conf.SIMULATED, "CONCURRENCY": 3}}
    }
    assert get_provider("simulated").concurrency == 3
    assert get_provider("simulated").window == SimulatedProvider.window


def test_the_window_is_never_smaller_than_what_is_sent_at_once(settings):
    settings.NOTIFICATIONS = {
        "PROVIDERS": {"simulated": {"BACKEND": conf.SIMULATED, "CONCURRENCY": 40}}
    }
    assert get_provider("simulated").window == 40


def test_forgotten_providers_are_closed_and_made_anew():
    before = get_provider("closing")
    forget_providers()
    assert before.closed == 1
    assert get_provider("closing") is not before


@pytest.mark.parametrize(
    "setting", ["NOTIFICATIONS", "EMAIL_HOST", "ANYMAIL", "DEFAULT_FROM_EMAIL"]
)
def test_changed_settings_make_other_providers(settings, setting: str):
    before = get_provider("simulated")
    setattr(settings, setting, {} if setting == "NOTIFICATIONS" else "other.example.com")
    assert get_provider("simulated") is not before


def test_a_child_process_makes_its_own_and_leaves_its_parents_open():
    parents = get_provider("closing")
    child = os.fork()
    if child == 0:
        own = get_provider("closing")
        os._exit(0 if own is not parents and parents.closed == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert get_provider("closing") is parents


def test_a_child_process_of_one_that_sends_at_once_sends_in_threads_of_its_own():
    batch = [message(Channel.SMS, "+1") for _ in range(4)]
    assert [o.kind for o in send(get_provider("simulated"), *batch)] == ["accepted"] * 4
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a pool without threads would wait for ever
        outcomes = send(get_provider("simulated"), *batch)
        os._exit(0 if [o.kind for o in outcomes] == ["accepted"] * 4 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unknown_name_is_an_error_of_the_settings():
    with pytest.raises(ImproperlyConfigured, match="nobody"):
        get_provider("nobody")
