-- +goose Up

-- Long work, done step by step. A tenant that is empty is the operator. The room in
-- the pages is for progress.
CREATE TABLE jobs (
  tenant      TEXT COLLATE "C" NOT NULL,
  id          TEXT COLLATE "C" NOT NULL,
  kind        TEXT COLLATE "C" NOT NULL,
  spec        BYTEA NOT NULL,
  state       TEXT COLLATE "C" NOT NULL,
  progress    BYTEA,
  cursor      TEXT COLLATE "C" NOT NULL DEFAULT '',
  error       BYTEA,
  -- When it may be claimed: what is claimed is due when its lease has run out.
  due_at      BIGINT NOT NULL,
  owner       TEXT COLLATE "C" NOT NULL DEFAULT '',
  claim       BIGINT NOT NULL DEFAULT 0,
  -- How often it was claimed since something was saved.
  tries       INTEGER NOT NULL DEFAULT 0,
  created_at  BIGINT NOT NULL,
  changed_at  BIGINT NOT NULL,
  finished_at BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, id)
) WITH (fillfactor = 70);
CREATE INDEX jobs_due ON jobs (due_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_unfinished ON jobs (tenant) WHERE state IN ('queued', 'running', 'paused');

-- A redrive takes dead executions in the order of their ids.
CREATE INDEX executions_buried ON executions (tenant, id) WHERE state = 4;
