-- +goose Up

-- What becomes of a keyset: how often it was replaced, and how often its keys were.
-- The seed is as it was wrapped first; none says that it is still.
ALTER TABLE tenant_keys ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tenant_keys ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tenant_keys ADD COLUMN rotated_by TEXT NOT NULL DEFAULT '';
ALTER TABLE tenant_keys ADD COLUMN seed BLOB;
CREATE INDEX tenant_keys_by_key ON tenant_keys (key_id, tenant);
