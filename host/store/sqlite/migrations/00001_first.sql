-- +goose Up

-- Times are microseconds since the epoch, 0 for none.

CREATE TABLE tenants (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  title      TEXT NOT NULL,
  running    INTEGER NOT NULL,
  weight     INTEGER NOT NULL,
  state      TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE tenant_keys (
  tenant  TEXT PRIMARY KEY REFERENCES tenants (id),
  key_id  TEXT NOT NULL,
  wrapped BLOB NOT NULL
) STRICT;

CREATE TABLE tokens (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  tenant     TEXT NOT NULL,
  scopes     BLOB NOT NULL,
  hash       BLOB NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_tenant ON tokens (tenant, id);

CREATE TABLE installations (
  tenant      TEXT NOT NULL REFERENCES tenants (id),
  id          TEXT NOT NULL,
  name        TEXT NOT NULL,
  plugin      TEXT NOT NULL,
  version_id  TEXT NOT NULL,
  plugin_name TEXT NOT NULL,
  version     TEXT NOT NULL,
  previous    TEXT NOT NULL,
  config      BLOB,
  grants      BLOB NOT NULL,
  state       TEXT NOT NULL,
  reason      TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX installations_name ON installations (tenant, name) WHERE state <> 'removed';
CREATE INDEX installations_version ON installations (version_id) WHERE state <> 'removed';

CREATE TABLE connections (
  tenant     TEXT NOT NULL REFERENCES tenants (id),
  id         TEXT NOT NULL,
  name       TEXT NOT NULL,
  type       TEXT NOT NULL,
  hosts      BLOB NOT NULL,
  header     TEXT NOT NULL,
  query      TEXT NOT NULL,
  sealed     BLOB,
  version    INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, name)
) STRICT;

CREATE TABLE endpoints (
  id           TEXT PRIMARY KEY,
  tenant       TEXT NOT NULL,
  installation TEXT NOT NULL,
  webhook      TEXT NOT NULL,
  scheme       TEXT NOT NULL,
  sealed       BLOB,
  version      INTEGER NOT NULL,
  disabled     INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  FOREIGN KEY (tenant, installation) REFERENCES installations (tenant, id)
) STRICT;
CREATE INDEX endpoints_tenant ON endpoints (tenant, id);

-- Events and executions have no foreign keys, as on Postgres: Accept looks instead.
CREATE TABLE events (
  tenant       TEXT NOT NULL,
  id           TEXT NOT NULL,
  installation TEXT NOT NULL,
  kind         TEXT NOT NULL,
  name         TEXT NOT NULL,
  source       TEXT NOT NULL,
  dedupe_key   BLOB,
  request      BLOB,
  body         BLOB,
  received_at  INTEGER NOT NULL,
  -- The execution that it caused, and the one that emitted it.
  execution    TEXT NOT NULL,
  emitter      TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX events_dedupe ON events (tenant, source, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX events_emitter ON events (tenant, emitter) WHERE emitter <> '';

CREATE TABLE executions (
  tenant           TEXT NOT NULL,
  id               TEXT NOT NULL,
  installation     TEXT NOT NULL,
  event            TEXT NOT NULL,
  kind             TEXT NOT NULL,
  name             TEXT NOT NULL,
  version_id       TEXT NOT NULL DEFAULT '',
  -- 0 queued, 1 running, 2 waiting, 3 succeeded, 4 dead, 5 cancelled.
  state            INTEGER NOT NULL DEFAULT 0,
  lane             INTEGER NOT NULL,
  reason           TEXT NOT NULL DEFAULT '',
  -- When it was queued, or until when it waits.
  run_at           INTEGER NOT NULL,
  claim            INTEGER NOT NULL DEFAULT 0,
  worker           TEXT NOT NULL DEFAULT '',
  attempt          INTEGER NOT NULL DEFAULT 0,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  output           BLOB,
  error            BLOB,
  fingerprint      TEXT NOT NULL DEFAULT '',
  tags             BLOB,
  created_at       INTEGER NOT NULL,
  started_at       INTEGER NOT NULL DEFAULT 0,
  finished_at      INTEGER NOT NULL DEFAULT 0,
  changed_at       INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX executions_ready ON executions (tenant, lane, run_at, id) WHERE state = 0;
CREATE INDEX executions_running ON executions (tenant, worker) WHERE state = 1;
CREATE INDEX executions_waiting ON executions (run_at) WHERE state = 2;
CREATE INDEX executions_paused ON executions (tenant, installation) WHERE state = 2 AND reason = 'paused';
CREATE INDEX executions_dead ON executions (tenant, fingerprint, installation) WHERE state = 4;
CREATE INDEX executions_changed ON executions (tenant, changed_at, id);

CREATE TABLE attempts (
  tenant    TEXT NOT NULL,
  execution TEXT NOT NULL,
  claim     INTEGER NOT NULL,
  body      BLOB NOT NULL,
  PRIMARY KEY (tenant, execution, claim)
) STRICT;

CREATE TABLE execution_tags (
  tenant    TEXT NOT NULL,
  name      BLOB NOT NULL,
  value     BLOB NOT NULL,
  execution TEXT NOT NULL,
  PRIMARY KEY (tenant, name, value, execution)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
  tenant       TEXT NOT NULL,
  installation TEXT NOT NULL,
  poll         TEXT NOT NULL,
  cursor_value BLOB,
  PRIMARY KEY (tenant, installation, poll)
) STRICT, WITHOUT ROWID;

-- Versions come from one sequence for all keys, so that a key that was deleted
-- and set again never has a version that it had before.
CREATE TABLE sequences (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO sequences (name, value) VALUES ('state', 0), ('ready', 0);
CREATE TABLE state_values (
  tenant       TEXT NOT NULL,
  installation TEXT NOT NULL,
  key          BLOB NOT NULL,
  value        BLOB NOT NULL,
  version      INTEGER NOT NULL,
  PRIMARY KEY (tenant, installation, key)
) STRICT;

CREATE TABLE workers (
  id          TEXT PRIMARY KEY,
  lease_until INTEGER NOT NULL,
  reaped      INTEGER NOT NULL,
  created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
  scope      TEXT NOT NULL,
  key        BLOB NOT NULL,
  digest     BLOB NOT NULL,
  -- 0 while the request is under way.
  status     INTEGER NOT NULL,
  body       BLOB,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) STRICT;

CREATE TABLE publishers (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  kind       TEXT NOT NULL,
  tenant     TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE plugins (
  id         TEXT PRIMARY KEY,
  publisher  TEXT NOT NULL REFERENCES publishers (id),
  name       TEXT NOT NULL,
  title      TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (publisher, name)
) STRICT;
CREATE INDEX plugins_name ON plugins (name);

CREATE TABLE plugin_shares (
  plugin TEXT NOT NULL REFERENCES plugins (id),
  tenant TEXT NOT NULL,
  PRIMARY KEY (plugin, tenant)
) STRICT, WITHOUT ROWID;

CREATE TABLE blobs (
  digest TEXT PRIMARY KEY,
  bytes  BLOB NOT NULL
) STRICT;

CREATE TABLE plugin_versions (
  id         TEXT PRIMARY KEY,
  plugin     TEXT NOT NULL REFERENCES plugins (id),
  version    TEXT NOT NULL,
  digest     TEXT NOT NULL REFERENCES blobs (digest),
  size       INTEGER NOT NULL,
  manifest   BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  yanked_at  INTEGER NOT NULL,
  yanked_why TEXT NOT NULL,
  UNIQUE (plugin, version)
) STRICT;
