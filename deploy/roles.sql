-- The database's roles: one that owns the tables and migrates, one for web processes, one for workers. psql reads it, as a superuser,
-- connected to rateguard's database; it may run again at any time: for new passwords, or over a database that one role used for all.
--
--     psql --dbname rateguard --set secrets=FOLDER --file deploy/roles.sql
--
-- The folder holds database_migrate_password, database_web_password and database_worker_password. In a container of PostgreSQL the image
-- runs this at the first start, and the folder is where it finds its secrets.
--
-- What web and worker may do with each table is given out by `manage.py migrate`, in the same run that makes the tables, where
-- DATABASE_WEB_ROLE and DATABASE_WORKER_ROLE name the two.

\set ON_ERROR_STOP on
\if :{?secrets} \else
    \set secrets /run/secrets
\endif
\set migrate_password `cat :'secrets'/database_migrate_password`
\set web_password `cat :'secrets'/database_web_password`
\set worker_password `cat :'secrets'/database_worker_password`

-- A password must not reach the server's log.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
SET password_encryption = 'scram-sha-256';

SELECT set_config('rateguard.are_given', (least(length(:'migrate_password'), length(:'web_password'), length(:'worker_password')) > 0)::text, false) \g /dev/null
DO $$ BEGIN
    IF NOT current_setting('rateguard.are_given')::boolean THEN
        RAISE 'a password is missing: make the files with deploy/make-secrets and name their folder with --set secrets=FOLDER';
    END IF;
END $$;

BEGIN;

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['rateguard_migrate', 'rateguard_web', 'rateguard_worker']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE rateguard_migrate WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'migrate_password';
ALTER ROLE rateguard_web WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'web_password';
ALTER ROLE rateguard_worker WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'worker_password';

-- The database: who may come in, and that nobody but the owner makes anything, not even temporary tables.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO rateguard_migrate, rateguard_web, rateguard_worker;
GRANT TEMPORARY ON DATABASE :"DBNAME" TO rateguard_migrate;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO rateguard_migrate;
GRANT USAGE ON SCHEMA public TO rateguard_web, rateguard_worker;

-- What PostgreSQL gives to everybody of what is made later, it gives no more: functions. Tables it gives to nobody.
ALTER DEFAULT PRIVILEGES FOR ROLE rateguard_migrate REVOKE EXECUTE ON ROUTINES FROM PUBLIC;

-- Tables that another role made belong to the one that migrates; their sequences go with them.
SELECT format('ALTER TABLE public.%I OWNER TO rateguard_migrate', relname)
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relowner <> 'rateguard_migrate'::regrole \gexec

COMMIT;
