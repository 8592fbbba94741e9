-- +goose Up

-- What becomes of a keyset: how often it was replaced, and how often its keys were.
-- The seed is as it was wrapped first; none says that it is still.
ALTER TABLE tenant_keys
  ADD COLUMN version    BIGINT NOT NULL DEFAULT 1,
  ADD COLUMN generation BIGINT NOT NULL DEFAULT 1,
  ADD COLUMN rotated_by TEXT   NOT NULL DEFAULT '',
  ADD COLUMN seed       BYTEA;
CREATE INDEX tenant_keys_by_key ON tenant_keys (key_id COLLATE "C", tenant);
