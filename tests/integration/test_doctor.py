"""`doctor`: what is well is said to be well, what is broken is named with its remedy, and nothing that hangs hides the rest."""

import threading

import pytest
from celery import Celery
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db.migrations.executor import MigrationExecutor

from rateguard import wiring
from rateguard.conf import conf
from rateguard.doctor import broker, clocks, database, looking, prices, project, providers, server, workers
from rateguard.doctor.finding import Level, ok
from rateguard.doctor.looking import Subjects, look
from rateguard.embedded.process import free_port
from rateguard.engine.gate.contract import Holder
from rateguard.engine.lanes import Lane
from tenants.models import Deployment, ModelRoute, Price, ProviderAccount, RouteTarget


def broken(findings):
    return [finding for finding in findings if finding.level == Level.FAIL]


def told(findings):
    return "\n".join(f"{finding.level} {finding.what} → {finding.remedy}" for finding in findings)


def test_a_line_that_works_has_nothing_broken_and_every_other_finding_has_a_remedy(line, monkeypatch):
    line.beat()
    monkeypatch.setattr(looking, "ALL", [one for one in looking.ALL if one.name not in {"workers", "database"}])  # its worker is in here
    seen = look(looking.ALL)
    assert not [finding for one in seen for finding in broken(one.findings)], seen
    assert [one.subject for one in seen] == ["settings", "packages", "redis", "broker", "clocks", "providers", "prices"]
    assert all(finding.remedy for one in seen for finding in one.findings if finding.level != Level.OK)


def test_what_hangs_or_breaks_is_a_finding_and_hides_nothing():
    never = threading.Event()

    def breaks():
        raise RuntimeError("no\nmore")

    seen = look([Subjects("a", lambda: [ok("x")]), Subjects("b", lambda: never.wait() or [], deadline_s=0.05), Subjects("c", breaks)])
    never.set()
    assert [one.is_broken for one in seen] == [False, True, True]
    assert "no answer within 0.05 s" in told(seen[1].findings)
    assert "RuntimeError: no" in told(seen[2].findings)


def test_a_redis_that_is_away_is_named(settings, monkeypatch):
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert "set REDIS_URL" in told(broken(server.look()))


@pytest.mark.parametrize(
    ("facts", "level", "reason"),
    [
        ({"valkey_version": "7.2.1", "redis_version": "7.2.4"}, None, ""),
        ({"redis_version": "6.2.1"}, Level.FAIL, "upgrade to 7.0"),
        ({"valkey_version": "7.1.0", "redis_version": "7.2.4"}, Level.FAIL, "upgrade to 7.2"),
    ],
)
def test_a_server_that_is_too_old_is_named(facts, level, reason):
    found = server._age(facts)
    assert [finding.level for finding in found] == ([level] if level else [])
    assert reason in told(found)


def test_a_server_that_evicts_forgets_or_only_reads_is_named():
    assert "CONFIG SET maxmemory-policy noeviction" in told(broken(server._memory({"maxmemory_policy": "allkeys-lru"})))
    full = {"maxmemory_policy": "noeviction", "maxmemory": 100, "used_memory": 90}
    assert "90% of its memory" in told(server._memory(full))
    assert server._persistence({"aof_enabled": 0}).level == Level.WARN
    assert server._persistence({"aof_enabled": 1, "aof_last_write_status": "err"}).level == Level.FAIL
    assert broken(server._role({"role": "slave"}))


def test_a_gate_that_lost_its_data_is_no_failure_but_needs_a_worker(line):
    line.gate.clear()
    assert "start a worker" in told([server._gate()])


def test_a_broker_that_is_away_is_named_without_its_password(monkeypatch):
    monkeypatch.setattr(broker, "current_app", Celery(broker=f"redis://:a-secret@127.0.0.1:{free_port()}/0"))
    found = told(broken(broker.look()))
    assert "does not answer" in found
    assert "a-secret" not in found


def test_lanes_that_nobody_serves_are_named_and_are_broken_once_a_job_waits_there(line, monkeypatch):
    monkeypatch.setattr(wiring, "gate", lambda: line.gate)
    assert "no worker lives" in told(broken(workers.look()))
    line.gate.beat(Holder("w", 5, (Lane.HIGH, Lane.NORMAL)))
    assert not broken(workers.look())
    assert "nobody serves lane low" in told(workers.look())
    line.submit(lane=Lane.LOW)
    assert "nobody serves lane low; jobs that wait there: 1" in told(broken(workers.look()))


def test_clocks_that_differ_are_named(db, monkeypatch):
    assert not broken(clocks.look())
    monkeypatch.setattr(clocks, "_redis_s", lambda: __import__("time").time() + 60)
    found = told(broken(clocks.look()))
    assert "the clock of Redis is 60.0 s ahead" in found
    assert "time server" in found


@pytest.fixture
def account(db, sim):
    sim.control.configure(keys=["sk-right"], models=["a-model"])
    account = ProviderAccount.objects.create(name="main", provider="sim", base_url=sim.base_url, credentials="sk-right")
    for model in ("a-model", "another"):
        deployment = Deployment.objects.create(account=account, name=model, upstream_model=model)
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=model), deployment=deployment)
    return account


class TestProviders:
    def test_a_model_that_the_provider_does_not_list_is_named(self, account):
        found = told(providers.look())
        assert "takes the key" in found
        assert "does not list another" in found
        assert "list a-model" not in found

    def test_a_refused_key_is_named_and_never_shown(self, account):
        account.credentials = "sk-wrong"
        account.save()
        found = told(broken(providers.look()))
        assert "main" in found
        assert "account change main --credentials-from" in found
        assert "sk-wrong" not in found

    def test_one_that_is_away_is_named(self, account):
        account.base_url = f"http://127.0.0.1:{free_port()}/v1"
        account.save()
        assert "connection refused" in told(broken(providers.look()))

    def test_one_whose_key_cannot_be_read_is_named(self, account, settings):
        settings.RATEGUARD = {**settings.RATEGUARD, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}
        conf.cache_clear()
        assert "fit no encryption key" in told(broken(providers.look()))

    def test_a_model_that_leads_nowhere_and_an_unpriced_deployment_are_named(self, account):
        Deployment.objects.filter(name="another").update(is_enabled=False)
        assert "model another leads to no deployment" in told(providers.look())
        assert "price set --provider sim --model a-model" in told(prices.look())
        Price.objects.create(provider="sim", model="a-model", valid_from="2020-01-01T00:00:00Z")
        assert "every deployment has a price" in told(prices.look())


def test_migrations_that_are_not_applied_are_named(db, monkeypatch):
    assert not broken(database.look())
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: [("tenants.0099_new", False)])
    assert "manage.py migrate" in told(broken(database.look()))


def test_settings_for_development_are_told_as_such(db):
    found = project.look()
    assert "development" in found[0].what
    assert "RATEGUARD_ENV=production" in told(found)
    assert not broken(found)


def test_the_exit_code_says_whether_anything_is_broken(monkeypatch, capsys):
    monkeypatch.setattr("rateguard.management.commands.doctor.look", lambda **_: look([Subjects("a", lambda: [ok("all well")])]))
    call_command("doctor")
    assert "✔  a  all well" in capsys.readouterr().out
    monkeypatch.setattr("rateguard.management.commands.doctor.look", lambda **_: look([Subjects("a", server.look)]))
    monkeypatch.setattr(server.wiring, "redis_client", lambda: (_ for _ in ()).throw(OSError("away")))
    with pytest.raises(SystemExit) as error:
        call_command("doctor")
    assert error.value.code == 1
