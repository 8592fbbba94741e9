-- +goose Up

-- When a token was used last, and the secret that it had before, which opens for a while.
ALTER TABLE tokens ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN rotated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN previous_hash BLOB;
ALTER TABLE tokens ADD COLUMN overlap_until INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tokens_previous_hash ON tokens (previous_hash) WHERE previous_hash IS NOT NULL;

-- What signs tokens that are not kept: one key of a tenant. Its id is the tenant's.
CREATE TABLE token_keys (
  tenant  TEXT PRIMARY KEY REFERENCES tenants (id),
  id      TEXT NOT NULL,
  version INTEGER NOT NULL,
  sealed  BLOB NOT NULL
) STRICT;
