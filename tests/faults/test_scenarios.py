"""The scenarios at a small size, several at a time: they wait more than they work."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from tests.faults.lab import Lab
from tests.faults.scenarios import SCENARIOS, Size, workers
from tests.faults.scenarios.base import Scenario
from tests.faults.verdict import Verdict
from tests.servers import rabbitmq

pytestmark = [pytest.mark.faults, pytest.mark.processes, pytest.mark.timeout(600)]

AT_ONCE = 6

PLAYED = (
    "late_word_of_a_frozen_worker",
    "workers_killed_parked",
    "workers_killed_with_keys",
    "redis_emptied",
    "rolling_deploys",
    "provider_hangs",
)
"""One for each promise."""

LONG = (
    "worker_killed_mid_send",
    "digests_while_all_are_killed",
    "quiet_hours_while_workers_are_killed",
    "redis_frozen",
    "rabbitmq_killed",
    "postgres_killed",
    "web_processes_killed",
    "hints_repeated",
    "cancels_race_with_sends",
)
"""For `make long`. The others are variations; `make faults` plays them all, and at full size."""

MUTATED: Mapping[str, Callable[..., Verdict]] = {
    "settle_without_token": workers.late_word_of_a_frozen_worker,
    "no_rescue": workers.worker_killed_mid_send,
    "mark_after_the_call": workers.worker_killed_mid_send,
}
"""The product, broken on purpose, and the scenario that has to notice."""

PLAYS: Mapping[str, Scenario] = {
    **{name: partial(play, mutation=name) for name, play in MUTATED.items()},
    **{name: SCENARIOS[name] for name in (*PLAYED, *LONG)},
}
"""In the order in which they begin: those first that take longest."""

PLAYABLE = {n: p for n, p in PLAYS.items() if rabbitmq.is_installed() or "rabbitmq" not in n}

Verdicts = Mapping[str, Future[Verdict]]


@pytest.fixture(scope="module")
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Verdicts]:
    """Of all scenarios that this run asks for, which are begun with the first of them."""
    asked = {item.callspec.params["name"] for item in _items(request)} & set(PLAYABLE)
    lab, size = Lab(tmp_path_factory.mktemp("faults")), Size(full=False)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {n: pool.submit(play, lab, size) for n, play in PLAYABLE.items() if n in asked}
            pool.shutdown(cancel_futures=True)
    finally:
        lab.close()


def _items(request: pytest.FixtureRequest) -> list[pytest.Function]:
    items = request.session.items
    return [i for i in items if isinstance(i, pytest.Function) and i.module is request.module]


@pytest.mark.parametrize("name", PLAYED)
def test_what_is_promised_is_kept(name: str, verdicts: Verdicts) -> None:
    verdict = verdicts[name].result()
    assert verdict.broken == [], verdict


@pytest.mark.long
@pytest.mark.parametrize("name", LONG)
def test_what_is_promised_is_kept_in_the_others(name: str, verdicts: Verdicts) -> None:
    if name not in PLAYABLE:
        pytest.skip("rabbitmq-server is not on the PATH")
    verdict = verdicts[name].result()
    assert verdict.broken == [], verdict


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("settle_without_token", "duplicated"),
        ("no_rescue", "stuck"),
        ("mark_after_the_call", "duplicated"),
    ],
)
def test_a_product_that_is_broken_on_purpose_is_convicted(
    name: str, figure: str, verdicts: Verdicts
) -> None:
    verdict = verdicts[name].result()
    assert verdict.broken
    assert getattr(verdict, figure) > 0, verdict
