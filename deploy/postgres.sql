-- A place in Postgres for btcsniff, and who may do what in it. Run it once, as a superuser, in the database meant for it:
--
--   createdb btcsniff
--   psql -d btcsniff -f deploy/postgres.sql
--
-- btcsniff owns the schema, in which it makes its tables by itself, and has no right elsewhere. People who ask questions are made
-- members of btcsniff_reader: GRANT btcsniff_reader TO alice.
\set ON_ERROR_STOP on
BEGIN;
CREATE ROLE btcsniff LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 20; -- a password: \password btcsniff
CREATE ROLE btcsniff_reader NOLOGIN;

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO btcsniff, btcsniff_reader;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA btcsniff AUTHORIZATION btcsniff;
GRANT USAGE ON SCHEMA btcsniff TO btcsniff_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE btcsniff IN SCHEMA btcsniff GRANT SELECT ON TABLES TO btcsniff_reader;
ALTER DATABASE :"DBNAME" SET search_path = btcsniff;
COMMIT;
