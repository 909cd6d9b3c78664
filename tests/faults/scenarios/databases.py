"""PostgreSQL that goes away under load."""

import time

from tests.faults.lab import RESCUED, Lab
from tests.faults.scenarios.base import Size, named
from tests.faults.verdict import Verdict
from tests.servers.postgres import Postgres


def postgres_stopped(lab: Lab, size: Size) -> Verdict:
    """It is stopped at once, without a checkpoint, and started again."""
    return _away(lab, size, "stop_immediately")


def postgres_killed(lab: Lab, size: Size) -> Verdict:
    """All its processes are killed, and it is started again."""
    return _away(lab, size, "kill")


def _away(lab: Lab, size: Size, hurt: str) -> Verdict:
    postgres = Postgres()
    with lab.stack(postgres=postgres) as stack:
        stack.provider.obey({"*": "accept:0.01"})
        _, client = stack.web("--threads", "4")
        workers = [stack.worker(), stack.worker()]
        with stack.clients(client, size(4, 2)):
            for _ in range(size(5, 1)):
                time.sleep(2)
                getattr(postgres, hurt)()
                stack.hurt()
                time.sleep(size(2, 1))
                postgres.start()
                stack.heal()
            time.sleep(1)
        stack.finish(RESCUED + 120)
        verdict = stack.judge()
        verdict.promise(len(stack.rows()) == verdict.accepted, "a key is one notification")
        verdict.promise(all(w.is_running() for w in workers), "no worker needs to be started anew")
        return verdict


SCENARIOS = named(postgres_stopped, postgres_killed)
