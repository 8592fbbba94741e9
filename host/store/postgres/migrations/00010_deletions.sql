-- +goose Up

-- The end of a tenant, from when it was asked for: it stays when the tenant is gone.
CREATE TABLE deletions (
  tenant       TEXT COLLATE "C" PRIMARY KEY,
  name         TEXT COLLATE "C" NOT NULL,
  -- asked, erasing or done.
  state        TEXT COLLATE "C" NOT NULL,
  -- The tenant's state before.
  was          TEXT COLLATE "C" NOT NULL,
  asked_at     BIGINT NOT NULL,
  asked_by     TEXT COLLATE "C" NOT NULL,
  due_at       BIGINT NOT NULL,
  destroyed_at BIGINT NOT NULL DEFAULT 0,
  finished_at  BIGINT NOT NULL DEFAULT 0,
  waits        TEXT COLLATE "C" NOT NULL DEFAULT '',
  -- What was erased, and what remains.
  report       BYTEA
);
CREATE INDEX deletions_name ON deletions (name, tenant);

-- When a tenant is to be deleted, 0 for never.
ALTER TABLE tenants ADD COLUMN delete_at BIGINT NOT NULL DEFAULT 0;
