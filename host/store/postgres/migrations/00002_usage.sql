-- +goose Up

-- What an installation's runs have cost on a UTC day, as 2026-11-20. The room in
-- the pages is for updates, which touch no index.
CREATE TABLE usage_days (
  tenant       TEXT COLLATE "C" NOT NULL,
  day          TEXT COLLATE "C" NOT NULL,
  installation TEXT COLLATE "C" NOT NULL,
  executions   BIGINT NOT NULL,
  attempts     BIGINT NOT NULL,
  fuel         BIGINT NOT NULL,
  cpu_ns       BIGINT NOT NULL,
  wall_ns      BIGINT NOT NULL,
  host_calls   BIGINT NOT NULL,
  input_bytes  BIGINT NOT NULL,
  output_bytes BIGINT NOT NULL,
  memory_bytes BIGINT NOT NULL,
  PRIMARY KEY (tenant, day, installation)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
