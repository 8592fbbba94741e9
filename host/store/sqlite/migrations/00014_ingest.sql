-- +goose Up

-- What bounds a tenant's webhooks: how many a second, how many at once, and how many
-- executions may be due or parked. 0 is no bound, or the host's.
ALTER TABLE tenants ADD COLUMN rate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN burst INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;

-- Bodies of events that are large, each once for a tenant. Events name them.
CREATE TABLE event_bodies (
  tenant  TEXT NOT NULL,
  digest  BLOB    NOT NULL,
  -- When an event named it last, to half an hour: a purge leaves alone what was named of late.
  used_at INTEGER NOT NULL,
  bytes   BLOB    NOT NULL,
  PRIMARY KEY (tenant, digest)
) STRICT;
ALTER TABLE events ADD COLUMN body_digest BLOB;
CREATE INDEX events_bodies ON events (tenant, body_digest) WHERE body_digest IS NOT NULL;
