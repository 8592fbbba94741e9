-- +goose Up

-- How many workers in a row have died while they ran it, and the claim under which
-- it has run last: what was claimed and had to wait for its turn has killed nobody.
ALTER TABLE executions ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
-- How what was redriven is to run, until it does.
ALTER TABLE executions ADD COLUMN mode TEXT NOT NULL DEFAULT '';

-- What the runs of an execution have recorded. 0 is the world, which may be
-- pinned anew; what follows are segments, to which nothing but the next is added.
-- The execution goes first in the key: its id grows with time, so that what is
-- inserted goes to the end of the index, and not to a page for each tenant.
CREATE TABLE journal (
  tenant    TEXT NOT NULL,
  execution TEXT NOT NULL,
  seq       INTEGER NOT NULL,
  body      BLOB NOT NULL,
  PRIMARY KEY (execution, seq, tenant)
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

-- How long a tenant keeps what has finished, and how much of it; 0 is the host's default.
ALTER TABLE tenants ADD COLUMN keep_days INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN keep_bytes INTEGER NOT NULL DEFAULT 0;

-- What executions hold that finished within one slot of ten minutes, counted once
-- when the slot is over. It may say too much of what was redriven since, until the
-- slot is purged.
CREATE TABLE retained (
  tenant TEXT NOT NULL,
  slot   INTEGER NOT NULL,
  bytes  INTEGER NOT NULL,
  PRIMARY KEY (tenant, slot)
) STRICT, WITHOUT ROWID;

-- Who does what only one process does at a time, and until when.
CREATE TABLE turns (
  name       TEXT PRIMARY KEY,
  holder     TEXT NOT NULL,
  held_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX executions_finished ON executions (tenant, finished_at, id) WHERE state >= 3;
CREATE INDEX execution_tags_execution ON execution_tags (tenant, execution);
-- Events of which only the key is left, and those that nothing hangs off.
CREATE INDEX events_purged ON events (tenant, received_at) WHERE kind = 'purged';
CREATE INDEX events_loose ON events (tenant, received_at) WHERE execution = '' AND emitter = '';
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
-- The bodies' sizes can be added up without reading the bodies.
CREATE INDEX journal_bodies_size ON journal_bodies (tenant, length(bytes));
