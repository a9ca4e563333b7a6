"""The embedded servers: what rateguard asks of its Redis and its database, by the real ones."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
import redis

from rateguard.embedded.errors import ServerStartError
from rateguard.embedded.postgres import running_postgres, start_postgres
from rateguard.embedded.valkey import start_valkey
from tests.integration.test_supervisor import is_alive, wait_until

PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture
def server(tmp_path):
    running = start_valkey(tmp_path / "a folder with spaces")
    yield running
    running.stop()


def test_valkey_keeps_a_log_never_evicts_and_listens_on_this_machine_alone(server):
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        asked = client.config_get("appendonly", "appendfsync", "save", "maxmemory-policy", "bind")
    assert asked == {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"}


def test_valkey_comes_back_on_its_port_with_what_it_had(server, tmp_path):
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", 1)
        server.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        again = start_valkey(tmp_path / "a folder with spaces", server.port)
        assert client.get("kept") == b"1"
    again.stop()


def test_a_killed_valkey_is_gone_at_once(server):
    server.kill()
    assert not is_alive(server.pid)


def test_a_frozen_valkey_answers_nobody_until_it_thaws(server):
    with redis.Redis.from_url(server.url, socket_timeout=0.1, retry=None) as client:
        client.set("here", 1)
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            client.get("here")
        server.thaw()
    with redis.Redis.from_url(server.url, socket_timeout=10) as client:
        assert client.get("here") == b"1"


def test_a_frozen_valkey_is_woken_to_end_in_order(server):
    server.freeze()
    server.stop()
    assert server.process.returncode == 0


def test_valkey_on_a_port_in_use_says_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder, pytest.raises(ServerStartError, match="in use"):
        start_valkey(tmp_path, holder.getsockname()[1])


def test_another_port_is_tried_when_somebody_took_the_free_one(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as holder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = [holder.getsockname()[1], free.getsockname()[1]]
        free.close()
        monkeypatch.setattr("rateguard.embedded.process.free_port", lambda: ports.pop(0))
        server = start_valkey(tmp_path)
    server.stop()
    assert ports == []


def test_many_servers_start_at_once_each_on_its_own_port(tmp_path):
    servers = []
    threads = [threading.Thread(target=lambda n=n: servers.append(start_valkey(tmp_path / str(n)))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server in servers:
        server.stop()
    assert len({server.port for server in servers}) == 6


def test_a_server_does_not_outlive_a_killed_starter(tmp_path):
    starter = "from pathlib import Path; import sys, time; from rateguard.embedded.valkey import start_valkey;"
    starter += "print(start_valkey(Path(sys.argv[1])).pid, flush=True); time.sleep(300)"
    process = subprocess.Popen([sys.executable, "-c", starter, str(tmp_path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate()
    wait_until(lambda: not is_alive(pid))


@pytest.mark.needs("postgres")
def test_postgres_takes_two_hundred_connections_and_makes_databases(monkeypatch):
    server = start_postgres()
    try:
        with psycopg.connect(server.create_database("one more")) as connection:
            facts = "current_database(), current_setting('max_connections'), current_setting('fsync')"
            assert connection.execute(f"SELECT {facts}").fetchone() == ("one more", "200", "off")
    finally:
        server.stop()
    assert not is_alive(server.pid)
    assert not server.home.exists()


@pytest.mark.long
@pytest.mark.needs("postgres")
def test_a_killed_postgres_comes_back_on_its_port_with_what_was_committed():
    server = start_postgres(fsync=True)
    try:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
            connection.commit()
            server.kill()
        again = server.start_again()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        again.stop()
        assert not is_alive(again.pid)
    finally:
        server.stop()


@pytest.mark.needs("postgres")
def test_postgres_syncs_to_disk_where_figures_are_measured():
    server = start_postgres(fsync=True, settings={"work_mem": "8MB"})
    try:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT current_setting('fsync'), current_setting('work_mem')").fetchone() == ("on", "8MB")
    finally:
        server.stop()


@pytest.mark.needs("postgres")
def test_postgres_and_its_backends_end_with_a_killed_starter():
    starter = "import time; from rateguard.embedded.postgres import start_postgres; s = start_postgres();"
    starter += "print(s.pid, s.home, flush=True); time.sleep(300)"
    process = subprocess.Popen([sys.executable, "-c", starter], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    pid, home = process.stdout.readline().split()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not is_alive(int(pid)))
    subprocess.run(["rm", "-rf", home], check=True)


def test_a_postgres_named_by_the_environment_is_used_as_it_is(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://someone@elsewhere:5432/theirs")
    with running_postgres() as url:
        assert url == "postgres://someone@elsewhere:5432/theirs"
