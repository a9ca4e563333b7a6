"""Three roles of PostgreSQL: what each may and may not do, asked of a real server."""

import itertools

import psycopg
import pytest
from django.apps import apps
from psycopg import errors

from rateguard import database_roles
from rateguard.database_roles import KEEP, NOTHING, READ, WRITE, privileges
from rateguard.engine.errors import ConfigurationError
from tests.rolesql import ROLES, Database

LEDGER = "rateguard_tenants_ledgerentry"
EITHER = ("web", "worker")


# ---- what is written down


def tables():
    return sorted(model._meta.db_table for model in apps.get_models(include_auto_created=True))


def test_each_table_that_is_named_is_there():
    named = {*database_roles.BOTH, *database_roles.WEB, *database_roles.WORKER}
    assert named <= {*tables(), "django_migrations"}


def test_neither_role_may_change_the_ledger_and_a_worker_reads_configuration_alone():
    assert {privileges(kind, LEDGER) for kind in EITHER} == {"SELECT, INSERT"}
    assert {privileges("worker", f"rateguard_tenants_{name}") for name in ("tenant", "apikey", "limit", "budget", "price")} == {READ}
    assert {privileges("worker", name) for name in ("auth_user", "django_session", "rateguard_tenants_member")} == {NOTHING}


def test_a_table_that_nobody_named_belongs_to_the_web_and_to_a_worker_where_it_is_of_jobs():
    assert privileges("web", "rateguard_jobs_new") == privileges("worker", "rateguard_jobs_new") == WRITE
    assert privileges("worker", "rateguard_tenants_new") == READ
    assert privileges("worker", "rateguard_jobs_job") == KEEP


def test_roles_on_a_database_that_has_none_are_refused_with_what_to_do(db):
    from django.db import connection

    if connection.vendor == "postgresql":
        with pytest.raises(ConfigurationError, match="make it with deploy"):
            database_roles.give_out({"web": "no_such_role", "worker": ""})
    else:
        with pytest.raises(ConfigurationError, match="unset them"):
            database_roles.give_out({"web": "someone", "worker": ""})
    database_roles.give_out({"web": "", "worker": ""})


# ---- what a server says


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    made = Database.started(tmp_path_factory.mktemp("roles"))
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def migrated(database):
    done = database.migrate()
    assert done.returncode == 0, done.stderr
    return database


on_a_server = [pytest.mark.long, pytest.mark.needs("postgres"), pytest.mark.timeout(240)]


def refuses(connection, statement):
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except errors.InsufficientPrivilege:
        return True
    except psycopg.Error:
        return False  # it may, but the row is none
    return False


def tried(table):
    """A statement of each kind, which changes nothing."""
    return {
        "SELECT": f'SELECT 1 FROM "{table}" WHERE false',
        "INSERT": f'INSERT INTO "{table}" DEFAULT VALUES',
        "UPDATE": f'UPDATE "{table}" SET {{column}} = DEFAULT WHERE false',
        "DELETE": f'DELETE FROM "{table}" WHERE false',
    }


def may(connection, table, column):
    """What the role of the connection may do with a table, by trying."""
    return {verb for verb, text in tried(table).items() if not refuses(connection, text.format(column=f'"{column}"'))}


@pytest.mark.usefixtures("migrated")
class TestEachRole:
    pytestmark = on_a_server

    def test_may_do_with_each_table_what_is_written_down_and_no_more(self, migrated):
        with migrated.connect("migrate") as owner:
            rows = owner.execute(
                "SELECT table_name, min(column_name) FROM information_schema.columns WHERE table_schema = 'public'"
                " AND is_generated = 'NEVER' AND identity_generation IS NULL GROUP BY 1"
            ).fetchall()
        assert {*tables(), "django_migrations"} <= {table for table, _ in rows}
        for kind in EITHER:
            with migrated.connect(kind) as connection:
                found = {table: may(connection, table, column) for table, column in rows}
            wanted = {table: {word for word in privileges(kind, table).split(", ") if word.isalpha()} for table, _ in rows}
            assert found == wanted, kind

    def test_cannot_make_change_or_drop_a_table(self, migrated):
        for kind in EITHER:
            with migrated.connect(kind) as connection:
                for statement in (
                    "CREATE TABLE mine (id int)",
                    "CREATE TEMPORARY TABLE mine (id int)",
                    f"ALTER TABLE {LEDGER} ADD COLUMN note text",
                    f"TRUNCATE {LEDGER}",
                    f"DROP TABLE {LEDGER}",
                    "SET ROLE rateguard_migrate",
                    "CREATE ROLE other",
                ):
                    assert refuses(connection, statement), statement

    def test_comes_in_with_its_own_password_alone(self, migrated):
        for one, other in itertools.permutations(ROLES, 2):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(migrated.address(f"rateguard_{one}", migrated.password_of(other)))

    def test_takes_over_a_table_of_a_later_version_in_the_run_that_makes_it(self, migrated):
        with migrated.connect("migrate") as owner, migrated.connect("web") as web:
            owner.execute("CREATE TABLE rateguard_jobs_later (id int)")
            owner.execute(f"GRANT UPDATE ON {LEDGER} TO rateguard_web")
            assert refuses(web, "SELECT 1 FROM rateguard_jobs_later")
            assert migrated.migrate().returncode == 0
            assert may(web, "rateguard_jobs_later", "id") == {"SELECT", "INSERT", "UPDATE", "DELETE"}
            assert refuses(web, f"UPDATE {LEDGER} SET nano_usd = 0")
            owner.execute("DROP TABLE rateguard_jobs_later")

    def test_is_made_again_with_a_new_password_and_the_tables_of_another_come_over(self, migrated):
        with psycopg.connect(migrated.address("postgres", ""), autocommit=True) as anybody:
            anybody.execute("CREATE TABLE of_another (id int GENERATED BY DEFAULT AS IDENTITY)")
        file = migrated.secrets / "database_web_password"
        old = migrated.password_of("web")
        file.chmod(0o600)
        file.write_text("a-new-password\n")
        with psycopg.connect(migrated.server.url, autocommit=True) as superuser:
            superuser.execute("ALTER SYSTEM SET log_statement = 'all'")
            superuser.execute("SELECT pg_reload_conf()")
        assert migrated.make_roles() == ""
        assert "a-new-password" not in migrated.server.log.read_text()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(migrated.address("rateguard_web", old))
        with migrated.connect("web") as web, migrated.connect("migrate") as owner:
            assert not refuses(web, f"SELECT 1 FROM {LEDGER}")
            owner.execute("DROP TABLE of_another")

    def test_is_not_made_without_a_password(self, migrated):
        import subprocess

        empty = migrated.secrets / "database_worker_password"
        kept = empty.read_text()
        empty.chmod(0o600)
        empty.write_text("")
        with pytest.raises(subprocess.CalledProcessError) as raised:
            migrated.make_roles()
        empty.write_text(kept)
        assert "deploy/make-secrets" in raised.value.stderr

    def test_a_role_that_is_not_there_is_named(self, migrated):
        done = migrated.migrate(DATABASE_WEB_ROLE="somebody")
        assert done.returncode != 0
        assert "no role somebody" in done.stderr
        assert "Traceback" not in done.stderr
