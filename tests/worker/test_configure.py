import gc
from collections.abc import Iterator

import pytest
from celery import Celery
from django.db import connection, connections
from kombu import Queue

from notifications.enums import Channel, Priority
from notifications.pipeline.publish import queue_name
from notifications.worker import is_set_up, setup
from project.celery import app as project_app
from tests.worker.doubles import Lab

OURS = {queue_name(channel, priority) for channel in Channel for priority in Priority}
OURS |= {"notifications.operations"}


@pytest.fixture(autouse=True)
def _project_app_is_the_default_again() -> Iterator[None]:
    yield
    project_app.set_default()
    project_app.set_current()


def make(broker: str = "embedded://", **conf: object) -> Celery:
    app = Celery("lab", broker=broker, set_as_current=False)
    app.conf.update(conf)
    setup(app)
    return app


def names(app: Celery) -> list[str]:
    return [queue.name for queue in app.amqp.queues.values()]


def test_an_app_keeps_its_default_queue_and_gets_ours() -> None:
    assert set(names(make())) == {"celery"} | OURS


def test_an_app_keeps_its_own_queues() -> None:
    assert set(names(make(task_queues=[Queue("theirs")]))) == {"theirs"} | OURS
    assert set(names(make(task_queues={"theirs": {"exchange": "theirs"}}))) == {"theirs"} | OURS


def test_a_queue_of_ours_that_the_app_has_declared_stays_as_declared() -> None:
    theirs = Queue("notifications.sms.bulk", max_length=9)
    app = make(task_queues=[theirs])
    assert names(app).count("notifications.sms.bulk") == 1
    assert app.amqp.queues["notifications.sms.bulk"].max_length == 9


def test_urgent_queues_are_declared_before_normal_and_bulk() -> None:
    labels = [name.rpartition(".")[2] for name in names(make()) if name in OURS]
    assert labels == ["operations"] + ["urgent"] * 3 + ["normal"] * 3 + ["bulk"] * 3


def test_what_the_project_has_set_stays() -> None:
    app = make(
        worker_prefetch_multiplier=7, broker_transport_options={"a": 1}, CELERY_DB_REUSE_MAX=3
    )
    assert app.conf.worker_prefetch_multiplier == 7
    assert app.conf.broker_transport_options == {"a": 1}
    assert app.conf["CELERY_DB_REUSE_MAX"] == 3


def test_what_the_project_has_set_in_a_module_stays_too() -> None:
    app = Celery("lab", set_as_current=False)
    app.config_from_object(Theirs, namespace="CELERY")
    setup(app)
    assert app.conf.worker_prefetch_multiplier == 7
    assert app.conf["CELERY_DB_REUSE_MAX"] == 3
    options = app.conf.broker_transport_options
    assert (options["global_keyprefix"], options["socket_timeout"]) == ("shop:", 9)


class Theirs:
    CELERY_BROKER_URL = "redis://localhost"
    CELERY_WORKER_PREFETCH_MULTIPLIER = 7
    CELERY_DB_REUSE_MAX = 3
    CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": "shop:", "socket_timeout": 9}


def test_options_of_the_broker_that_the_project_left_out_are_ours() -> None:
    options = {"global_keyprefix": "shop:"}
    conf = make("redis://localhost", broker_transport_options=options).conf
    assert conf.broker_transport_options["global_keyprefix"] == "shop:"
    assert conf.broker_transport_options["socket_timeout"] == 5


def test_queues_are_quorum_queues_on_rabbitmq_and_plain_elsewhere() -> None:
    def kinds(app: Celery) -> set[object]:
        found = [app.amqp.queues[name].queue_arguments or {} for name in sorted(OURS)]
        return {arguments.get("x-queue-type") for arguments in found}

    assert kinds(make("amqp://localhost")) == {"quorum"}
    assert kinds(make("redis://localhost")) == {None}
    assert kinds(make()) == {None}


def test_what_the_project_has_not_set_is_safe() -> None:
    conf = make("redis://localhost").conf
    assert conf.worker_prefetch_multiplier == 1
    assert conf.broker_transport_options["socket_timeout"] == 5
    assert conf.broker_transport_options["queue_order_strategy"] == "priority"
    assert conf.accept_content == ["json"]
    assert make("amqp://localhost").conf.broker_transport_options["confirm_publish"]


def test_the_tasks_of_the_project_keep_their_early_acknowledgement() -> None:
    assert not make().conf.task_acks_late


def test_a_process_broker_takes_threads_and_others_what_the_project_chose() -> None:
    assert make().conf.worker_pool == "threads"
    assert make("redis://localhost").conf.worker_pool == "prefork"


def test_operations_are_routed_to_their_queue_unless_the_project_says_otherwise() -> None:
    assert route(make(), "notifications.rescue") == "notifications.operations"
    theirs = make(task_routes={"notifications.rescue": "theirs"})
    assert route(theirs, "notifications.rescue") == "theirs"
    assert route(theirs, "notifications.dispatch") == "notifications.operations"


def route(app: Celery, task: str) -> str:
    return str(app.amqp.router.route({}, task)["queue"].name)


def test_setting_up_twice_or_late_is_the_same_as_once() -> None:
    app = Celery("lab", broker="embedded://", set_as_current=False)
    assert not is_set_up(app)
    assert app.conf.worker_prefetch_multiplier == 4
    setup(app)
    setup(app)
    assert is_set_up(app)
    assert set(names(app)) == {"celery"} | OURS
    assert app.conf.worker_prefetch_multiplier == 1
    assert len(app.conf.task_routes) == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_tasks_share_a_connection_and_survive_that_it_is_killed(
    make_lab: type[Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 600)
    monkeypatch.setitem(connections.settings["default"], "CONN_HEALTH_CHECKS", True)
    lab = make_lab("embedded://")

    @lab.app.task(name="lab.backend", shared=False)
    def backend() -> None:
        lab.done.append((select("SELECT pg_backend_pid()"), 0.0))

    with lab.worker():
        for _ in range(20):
            backend.delay()
        lab.wait_for(20)
        backends = set(lab.names())
        assert len(backends) <= 2
        for pid in backends:
            select(f"SELECT pg_terminate_backend({pid})")
        for _ in range(20):
            backend.delay()
        lab.wait_for(40, timeout=10)
    gc.collect()  # with the pool's threads go their connections: the database can be dropped


def select(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
