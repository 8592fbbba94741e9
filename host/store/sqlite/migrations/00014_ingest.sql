-- +goose Up

-- What bounds a tenant's webhooks: how many a second, how many at once, and how many
-- executions may be due or parked. 0 is no bound, or the host's.
ALTER TABLE tenants ADD COLUMN rate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN burst INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
