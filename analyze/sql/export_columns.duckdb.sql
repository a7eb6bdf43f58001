-- The columns of all tables and views, in order. This text is for DuckDB.
SELECT table_name AS relation, column_name AS name, data_type AS type
FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = current_schema() AND NOT internal
ORDER BY table_name, column_index;
