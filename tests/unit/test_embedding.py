"""What a host's Celery app takes from us, and what it keeps."""

import pytest
from celery import Celery
from celery.utils.time import rate
from kombu import Queue

import rateguard
from rateguard.embedding import ASYNCIO_POOL, LANE_QUEUES, RESULT_BACKEND, celery_settings
from rateguard.engine.errors import ConfigurationError
from rateguard.management.commands.llmworker import Command
from rateguard.tasks import EXECUTE


@pytest.fixture
def nothing(settings):
    """A host that says nothing of Celery in Django's settings."""
    for name in [name for name in dir(settings) if name.startswith("CELERY_")]:
        delattr(settings, name)
    settings.REDIS_URL = "redis://127.0.0.1:6399/4"
    del settings.BROKER_URL
    return settings


def app_with(**given):
    app = Celery("guest", set_as_current=False, fixups=[])
    app.conf.update(celery_settings(**given))
    return app


def where(app, task, **options):
    return app.amqp.router.route(options, task)["queue"].name


def test_a_host_that_says_nothing_gets_a_broker_a_backend_and_keeps_its_workers(nothing):
    made = rateguard.celery_settings()

    assert made["broker_url"] == nothing.REDIS_URL
    assert made["result_backend"] == RESULT_BACKEND
    assert not {"worker_pool", "worker_concurrency", "task_queues"} & set(made)
    assert list(app_with().amqp.queues.consume_from) == ["celery"]  # what a worker without -Q serves


def test_what_the_host_says_of_its_broker_and_backend_stands(nothing):
    nothing.CELERY_BROKER_URL = "amqp://elsewhere"
    nothing.CELERY_RESULT_BACKEND = "redis://127.0.0.1/7"
    assert set(celery_settings()) == {"task_routes"}


def test_the_hosts_options_of_the_broker_stand_beside_ours(nothing):
    made = celery_settings(broker_transport_options={"visibility_timeout": 43_200, "global_keyprefix": "shop"})
    options = made["broker_transport_options"]
    assert (options["visibility_timeout"], options["global_keyprefix"], options["retry_on_timeout"]) == (43_200, "shop", False)


def test_sentinels_are_the_brokers_too(nothing):
    nothing.REDIS_URL = "redis+sentinel://one:26379,two:26379/main/0"
    made = celery_settings()
    assert made["broker_url"] == "sentinel://one:26379/0;sentinel://two:26379/0"
    assert made["broker_transport_options"]["master_name"] == "main"


def test_a_missing_redis_url_is_named(nothing):
    del nothing.REDIS_URL
    with pytest.raises(ConfigurationError, match="add REDIS_URL"):
        celery_settings()


@pytest.mark.parametrize("theirs", [{"*": {"queue": "theirs", "routing_key": "odd"}}, [("*", "theirs")], ({"*": "theirs"},)])
def test_the_hosts_routes_take_its_tasks_and_no_lanes_message(nothing, theirs):
    if isinstance(theirs, list):
        theirs = [dict(theirs)]
    app = app_with(task_routes=theirs)

    assert where(app, "shop.tasks.send") == "theirs"
    routed = app.amqp.router.route({"queue": "llm.high"}, "rateguard.execute")
    assert (routed["queue"].name, routed.get("routing_key")) == ("llm.high", None)


def test_a_bare_call_of_complete_goes_where_jobs_are_run(nothing):
    app = app_with(task_routes={"shop.*": "theirs"})
    assert (where(app, "rateguard.complete"), where(app, "rateguard.embed"), where(app, "other")) == ("llm.normal", "llm.normal", "celery")


@pytest.mark.parametrize(
    "theirs", [[Queue("mail", routing_key="m"), Queue("llm.low", routing_key="low")], {"mail": {"routing_key": "m"}, "llm.low": {}}]
)
def test_one_worker_for_all_serves_the_hosts_queues_and_every_lane(nothing, theirs):
    made = celery_settings(one_worker=True, task_queues=theirs)

    assert [queue.name for queue in made["task_queues"]] == ["mail", "llm.low", *(name for name in LANE_QUEUES if name != "llm.low")]
    assert (made["worker_pool"], made["worker_concurrency"]) == (ASYNCIO_POOL, 64)
    assert made["task_queues"][0].routing_key == "m"


def test_one_worker_on_another_pool_keeps_its_own_concurrency(nothing):
    nothing.CELERY_WORKER_POOL = "prefork"
    made = celery_settings(one_worker=True)
    assert made["worker_pool"] == "prefork"
    assert "worker_concurrency" not in made
    assert [queue.name for queue in made["task_queues"]] == ["celery", *LANE_QUEUES]


def test_where_celery_makes_no_queues_by_itself_the_lanes_are_named(nothing):
    nothing.CELERY_TASK_CREATE_MISSING_QUEUES = False
    assert set(LANE_QUEUES) <= {queue.name for queue in celery_settings()["task_queues"]}


def test_another_namespace_is_read_where_it_is_named(nothing):
    nothing.SHOP_TASK_DEFAULT_QUEUE = "mine"
    assert celery_settings(one_worker=True, namespace="SHOP")["task_queues"][0].name == "mine"


def test_a_hosts_rate_limit_for_all_tasks_holds_no_lane_up(nothing):
    app = app_with(task_default_rate_limit="1/m")

    assert rate(app.tasks[EXECUTE].rate_limit) == 0
    assert rate(app.tasks["celery.backend_cleanup"].rate_limit) > 0


@pytest.mark.parametrize(
    ("given", "queues"),
    [(["-l", "INFO"], ["-Q", ",".join(LANE_QUEUES)]), (["-Q", "llm.low"], []), (["--queues=llm.low"], [])],
)
def test_the_jobs_worker_serves_every_lane_unless_it_is_told_which(given, queues, monkeypatch):
    begun = []
    monkeypatch.setattr("celery.app.base.Celery.worker_main", lambda self, argv: begun.append((self.conf.worker_pool, argv)))
    Command().run_from_argv(["manage.py", "llmworker", *given])
    assert begun == [(ASYNCIO_POOL, ["worker", *queues, "--without-gossip", "--without-mingle", *given])]
