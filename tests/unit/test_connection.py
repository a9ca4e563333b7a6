"""REDIS_URL says where the gate's server is; the same words make Celery's broker."""

import pytest
from celery import Celery

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.gate.connection import Finders, broker_of, connect, finders_of


@pytest.mark.parametrize("url", ["redis://h:6379/0", "rediss://u:p@h/1", "unix:///run/redis.sock", "redis://h,i/0"])
def test_a_servers_own_url_names_nobody_to_ask(url):
    assert finders_of(url) is None
    assert broker_of(url) == (url, {})


def test_sentinels_are_named_with_their_service():
    assert finders_of("redis+sentinel://one:26379,two/main/2") == Finders("sentinel", (("one", 26379), ("two", 26379)), "main", 2)
    assert finders_of("redis+sentinel://[::1]:5/main") == Finders("sentinel", (("::1", 5),), "main", 0)


def test_logins_of_servers_and_of_sentinels_are_apart():
    found = finders_of("rediss+sentinel://u:p%40ss@one/main?sentinel_username=w&sentinel_password=q%26")
    assert (found.username, found.password, found.is_tls) == ("u", "p@ss", True)
    assert (found.sentinel_username, found.sentinel_password) == ("w", "q&")


def test_a_cluster_is_named_by_any_of_its_nodes():
    assert finders_of("redis+cluster://:secret@one,two:7000") == Finders("cluster", (("one", 6379), ("two", 7000)), password="secret")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://one:26379", "redis+sentinel://host:26379,host2:26379/service/0"),
        ("redis+sentinel://one:26379//0", "redis+sentinel://host:26379,host2:26379/service/0"),
        ("redis+sentinel://u:hidden@one:port/main", "'one:port' is no host and port"),
        ("redis+sentinel://one,,two/main", "'' is no host and port"),
        ("redis+sentinel://one/main/x", "'x' must be a number"),
        ("redis+cluster://one/3", "'3' must be 0"),
    ],
)
def test_a_wrong_url_says_what_to_write_and_no_password(url, said):
    with pytest.raises(ConfigurationError) as refused:
        finders_of(url)
    assert said in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_celery_gets_the_same_sentinels():
    url, options = broker_of("redis+sentinel://u:p%40@one:1,[::1]:2/main/3?sentinel_password=q")
    assert url == "sentinel://u:p%40@one:1/3;sentinel://u:p%40@[::1]:2/3"
    assert options == {"master_name": "main", "sentinel_kwargs": {"password": "q"}}
    connection = Celery(broker=url, broker_transport_options=options).connection()
    assert (connection.transport_cls, connection.virtual_host, connection.password) == ("sentinel", "3", "p@")


def test_celery_cannot_use_a_cluster_and_says_what_to_set():
    with pytest.raises(ConfigurationError, match="Set BROKER_URL"):
        broker_of("redis+cluster://one")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+sentinel://127.0.0.1:1/main", "redis+cluster://127.0.0.1:1"])
def test_a_client_connects_at_its_first_call(url):
    connect(url, 100).close()
