-- +goose Up

-- Long work, done step by step. A tenant that is empty is the operator.
CREATE TABLE jobs (
  tenant      TEXT NOT NULL,
  id          TEXT NOT NULL,
  kind        TEXT NOT NULL,
  spec        BLOB NOT NULL,
  state       TEXT NOT NULL,
  progress    BLOB,
  cursor      TEXT NOT NULL DEFAULT '',
  error       BLOB,
  -- When it may be claimed: what is claimed is due when its lease has run out.
  due_at      INTEGER NOT NULL,
  owner       TEXT NOT NULL DEFAULT '',
  claim       INTEGER NOT NULL DEFAULT 0,
  -- How often it was claimed since something was saved.
  tries       INTEGER NOT NULL DEFAULT 0,
  created_at  INTEGER NOT NULL,
  changed_at  INTEGER NOT NULL,
  finished_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX jobs_due ON jobs (due_at) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_unfinished ON jobs (tenant) WHERE state IN ('queued', 'running', 'paused');

-- A redrive takes dead executions in the order of their ids.
CREATE INDEX executions_buried ON executions (tenant, id) WHERE state = 4;
