-- Takes from btcsniff what it needs only for making and changing tables: afterwards it can add records, and can neither drop nor
-- delete. Run it as a superuser in the same database, after sniff or replay has made the tables:
--
--   psql -d btcsniff -f deploy/postgres-narrow.sql
--
-- With --retain it has to drop old days, and nothing else; this allows that:
--
--   psql -d btcsniff -v retain=yes -f deploy/postgres-narrow.sql
--
-- Before a new version that changes the tables (it says so): GRANT btcsniff_owner TO btcsniff; ALTER ROLE btcsniff SET role =
-- btcsniff_owner; and afterwards ALTER ROLE btcsniff RESET role; and this file again.
\set ON_ERROR_STOP on
BEGIN;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'btcsniff_owner') THEN
        CREATE ROLE btcsniff_owner NOLOGIN;
    END IF;
END
$$;
REASSIGN OWNED BY btcsniff TO btcsniff_owner;
REVOKE btcsniff_owner FROM btcsniff;

GRANT USAGE ON SCHEMA btcsniff TO btcsniff;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA btcsniff TO btcsniff;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA btcsniff TO btcsniff;
ALTER DEFAULT PRIVILEGES FOR ROLE btcsniff_owner IN SCHEMA btcsniff GRANT SELECT, INSERT, UPDATE ON TABLES TO btcsniff;
ALTER DEFAULT PRIVILEGES FOR ROLE btcsniff_owner IN SCHEMA btcsniff GRANT SELECT ON TABLES TO btcsniff_reader;

-- Each day's partitions are made, and dropped, by the owner, and by it alone.
ALTER FUNCTION btcsniff.add_day(date) SECURITY DEFINER SET search_path = btcsniff, pg_temp;
ALTER FUNCTION btcsniff.drop_before(date) SECURITY DEFINER SET search_path = btcsniff, pg_temp;
REVOKE ALL ON FUNCTION btcsniff.add_day(date), btcsniff.drop_before(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION btcsniff.add_day(date) TO btcsniff;
\if :{?retain}
GRANT EXECUTE ON FUNCTION btcsniff.drop_before(date) TO btcsniff;
\endif
COMMIT;
