-- +goose Up

-- How many workers in a row have died while they ran it.
ALTER TABLE executions ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
-- How what was redriven is to run, until it does.
ALTER TABLE executions ADD COLUMN mode TEXT NOT NULL DEFAULT '';

-- What the runs of an execution have recorded. 0 is the world, which may be
-- pinned anew; what follows are segments, to which nothing but the next is added.
CREATE TABLE journal (
  tenant    TEXT NOT NULL,
  execution TEXT NOT NULL,
  seq       INTEGER NOT NULL,
  body      BLOB NOT NULL,
  PRIMARY KEY (tenant, execution, seq)
) STRICT;

-- Large requests and answers that segments name by their digest, each once for
-- a tenant.
CREATE TABLE journal_bodies (
  tenant  TEXT NOT NULL,
  digest  BLOB NOT NULL,
  bytes   BLOB NOT NULL,
  -- When a segment named it last: a purge leaves alone what was named since it looked.
  used_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, digest)
) STRICT;

CREATE TABLE journal_refs (
  tenant    TEXT NOT NULL,
  execution TEXT NOT NULL,
  digest    BLOB NOT NULL,
  PRIMARY KEY (tenant, execution, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX journal_refs_digest ON journal_refs (tenant, digest);
