-- +goose Up

-- What tenants have done at times.
CREATE TABLE schedules (
  tenant         TEXT NOT NULL,
  id             TEXT NOT NULL,
  installation   TEXT NOT NULL,
  name           TEXT NOT NULL,
  -- What it was asked to be, as JSON, without the input, which is sealed.
  spec           BLOB   NOT NULL,
  input          BLOB,
  state          TEXT    NOT NULL,
  reason         TEXT    NOT NULL,
  -- The instant of the next tick, and when that is looked at: 0 for never.
  next_at        INTEGER  NOT NULL,
  due_at         INTEGER  NOT NULL,
  held           INTEGER NOT NULL,
  last_at        INTEGER  NOT NULL,
  last_execution TEXT NOT NULL,
  fired          INTEGER  NOT NULL,
  skipped        INTEGER  NOT NULL,
  version        INTEGER  NOT NULL,
  created_at     INTEGER  NOT NULL,
  updated_at     INTEGER  NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, name),
  FOREIGN KEY (tenant, installation) REFERENCES installations (tenant, id)
) STRICT;
CREATE INDEX schedules_due ON schedules (due_at) WHERE state = 'active' AND due_at > 0;
CREATE INDEX schedules_installation ON schedules (tenant, installation);
