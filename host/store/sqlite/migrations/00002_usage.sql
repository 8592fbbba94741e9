-- +goose Up

-- What an installation's runs have cost on a UTC day, as 2026-11-20.
CREATE TABLE usage_days (
  tenant       TEXT NOT NULL,
  day          TEXT NOT NULL,
  installation TEXT NOT NULL,
  executions   INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  fuel         INTEGER NOT NULL,
  cpu_ns       INTEGER NOT NULL,
  wall_ns      INTEGER NOT NULL,
  host_calls   INTEGER NOT NULL,
  input_bytes  INTEGER NOT NULL,
  output_bytes INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  PRIMARY KEY (tenant, day, installation)
) STRICT, WITHOUT ROWID;
