-- +goose Up

-- The end of a tenant, from when it was asked for: it stays when the tenant is gone.
CREATE TABLE deletions (
  tenant       TEXT PRIMARY KEY,
  name         TEXT NOT NULL,
  -- asked, erasing or done.
  state        TEXT NOT NULL,
  -- The tenant's state before.
  was          TEXT NOT NULL,
  asked_at     INTEGER NOT NULL,
  asked_by     TEXT NOT NULL,
  due_at       INTEGER NOT NULL,
  destroyed_at INTEGER NOT NULL DEFAULT 0,
  finished_at  INTEGER NOT NULL DEFAULT 0,
  waits        TEXT NOT NULL DEFAULT '',
  -- What was erased, and what remains.
  report       BLOB
) STRICT;
CREATE INDEX deletions_name ON deletions (name, tenant);

-- When a tenant is to be deleted, 0 for never.
ALTER TABLE tenants ADD COLUMN delete_at INTEGER NOT NULL DEFAULT 0;
