-- +goose Up

-- What tenants have done at times.
CREATE TABLE schedules (
  tenant         TEXT COLLATE "C" NOT NULL,
  id             TEXT COLLATE "C" NOT NULL,
  installation   TEXT COLLATE "C" NOT NULL,
  name           TEXT COLLATE "C" NOT NULL,
  -- What it was asked to be, as JSON, without the input, which is sealed.
  spec           BYTEA   NOT NULL,
  input          BYTEA,
  state          TEXT    NOT NULL,
  reason         TEXT    NOT NULL,
  -- The instant of the next tick, and when that is looked at: 0 for never.
  next_at        BIGINT  NOT NULL,
  due_at         BIGINT  NOT NULL,
  held           BOOLEAN NOT NULL,
  last_at        BIGINT  NOT NULL,
  last_execution TEXT COLLATE "C" NOT NULL,
  fired          BIGINT  NOT NULL,
  skipped        BIGINT  NOT NULL,
  version        BIGINT  NOT NULL,
  created_at     BIGINT  NOT NULL,
  updated_at     BIGINT  NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, name),
  FOREIGN KEY (tenant, installation) REFERENCES installations (tenant, id)
);
CREATE INDEX schedules_due ON schedules (due_at) WHERE state = 'active' AND due_at > 0;
CREATE INDEX schedules_installation ON schedules (tenant, installation);
