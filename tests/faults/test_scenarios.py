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

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(300)]

AT_ONCE = 5

PLAYED = (
    "late_word_of_a_frozen_worker",
    "worker_killed_mid_send",
    "workers_killed_parked",
    "workers_killed_with_keys",
    "redis_frozen",
    "rabbitmq_killed",
    "postgres_killed",
    "web_processes_killed",
    "redis_emptied",
    "hints_repeated",
    "rolling_deploys",
    "cancels_race_with_sends",
)
"""Those of which the others are variations; `make faults` plays them all, and at full size."""

MUTATED: Mapping[str, Callable[..., Verdict]] = {
    "settle_without_token": workers.late_word_of_a_frozen_worker,
    "no_rescue": workers.worker_killed_mid_send,
    "mark_after_the_call": workers.worker_killed_mid_send,
}
"""The product, broken on purpose, and the scenario that has to notice."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Verdict]]]:
    lab, size = Lab(tmp_path_factory.mktemp("faults")), Size(full=False)
    plays: dict[str, Scenario] = {
        name: partial(play, mutation=name) for name, play in MUTATED.items()
    } | {name: SCENARIOS[name] for name in _playable()}
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {name: pool.submit(play, lab, size) for name, play in plays.items()}
            pool.shutdown(cancel_futures=True)
    finally:
        lab.close()


@pytest.mark.parametrize("name", PLAYED)
def test_what_is_promised_is_kept(name: str, verdicts: Mapping[str, Future[Verdict]]) -> None:
    if name not in verdicts:
        pytest.skip("rabbitmq-server is not on the PATH")
    verdict = verdicts[name].result()
    assert verdict.broken == [], verdict


def test_a_late_word_that_is_believed_is_seen_as_a_duplicate(
    verdicts: Mapping[str, Future[Verdict]],
) -> None:
    verdict = verdicts["settle_without_token"].result()
    assert verdict.duplicated == 1
    assert verdict.broken


def test_what_nobody_rescues_is_seen_as_stuck(verdicts: Mapping[str, Future[Verdict]]) -> None:
    verdict = verdicts["no_rescue"].result()
    assert verdict.stuck > 0
    assert verdict.broken


def test_a_mark_after_the_call_is_seen_as_a_duplicate(
    verdicts: Mapping[str, Future[Verdict]],
) -> None:
    verdict = verdicts["mark_after_the_call"].result()
    assert verdict.duplicated > 0
    assert verdict.broken


def _playable() -> list[str]:
    if rabbitmq.is_installed():
        return list(PLAYED)
    return [name for name in PLAYED if not name.startswith("rabbitmq")]
