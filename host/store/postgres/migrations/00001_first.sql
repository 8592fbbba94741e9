-- +goose Up

-- Ids compare byte by byte (COLLATE "C"), so that they sort by time whatever
-- the database's locale. Times are microseconds since the epoch, 0 for none.

CREATE TABLE tenants (
  id         TEXT COLLATE "C" PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  title      TEXT    NOT NULL,
  running    INTEGER NOT NULL,
  weight     INTEGER NOT NULL,
  state      TEXT    NOT NULL,
  created_at BIGINT  NOT NULL
);

CREATE TABLE tenant_keys (
  tenant  TEXT COLLATE "C" PRIMARY KEY REFERENCES tenants (id),
  key_id  TEXT  NOT NULL,
  wrapped BYTEA NOT NULL
);

CREATE TABLE tokens (
  id         TEXT COLLATE "C" PRIMARY KEY,
  name       TEXT   NOT NULL,
  tenant     TEXT COLLATE "C" NOT NULL,
  scopes     BYTEA  NOT NULL,
  hash       BYTEA  NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL
);
CREATE INDEX tokens_tenant ON tokens (tenant, id);

CREATE TABLE installations (
  tenant      TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  id          TEXT COLLATE "C" NOT NULL,
  name        TEXT   NOT NULL,
  plugin      TEXT   NOT NULL,
  version_id  TEXT   NOT NULL,
  plugin_name TEXT   NOT NULL,
  version     TEXT   NOT NULL,
  previous    TEXT   NOT NULL,
  config      BYTEA,
  grants      BYTEA  NOT NULL,
  state       TEXT   NOT NULL,
  reason      TEXT   NOT NULL,
  created_at  BIGINT NOT NULL,
  updated_at  BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX installations_name ON installations (tenant, name) WHERE state <> 'removed';
CREATE INDEX installations_version ON installations (version_id) WHERE state <> 'removed';

CREATE TABLE connections (
  tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  id         TEXT COLLATE "C" NOT NULL,
  name       TEXT   NOT NULL,
  type       TEXT   NOT NULL,
  hosts      BYTEA  NOT NULL,
  header     TEXT   NOT NULL,
  query      TEXT   NOT NULL,
  sealed     BYTEA,
  version    BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, name)
);

CREATE TABLE endpoints (
  id           TEXT COLLATE "C" PRIMARY KEY,
  tenant       TEXT COLLATE "C" NOT NULL,
  installation TEXT COLLATE "C" NOT NULL,
  webhook      TEXT    NOT NULL,
  scheme       TEXT    NOT NULL,
  sealed       BYTEA,
  version      BIGINT  NOT NULL,
  disabled     BOOLEAN NOT NULL,
  created_at   BIGINT  NOT NULL,
  FOREIGN KEY (tenant, installation) REFERENCES installations (tenant, id)
);
CREATE INDEX endpoints_tenant ON endpoints (tenant, id);

-- Events and executions have no foreign keys: checking one locks the tenant's
-- row, which every accept of a tenant would then share. Accept looks instead.
CREATE TABLE events (
  tenant       TEXT COLLATE "C" NOT NULL,
  id           TEXT COLLATE "C" NOT NULL,
  installation TEXT COLLATE "C" NOT NULL,
  kind         TEXT   NOT NULL,
  name         TEXT   NOT NULL,
  source       TEXT COLLATE "C" NOT NULL,
  dedupe_key   BYTEA,
  request      BYTEA,
  body         BYTEA,
  received_at  BIGINT NOT NULL,
  -- The execution that it caused, and the one that emitted it.
  execution    TEXT COLLATE "C" NOT NULL,
  emitter      TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX events_dedupe ON events (tenant, source, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX events_emitter ON events (tenant, emitter) WHERE emitter <> '';

CREATE TABLE executions (
  tenant           TEXT COLLATE "C" NOT NULL,
  id               TEXT COLLATE "C" NOT NULL,
  installation     TEXT COLLATE "C" NOT NULL,
  event            TEXT COLLATE "C" NOT NULL,
  kind             TEXT    NOT NULL,
  name             TEXT    NOT NULL,
  version_id       TEXT    NOT NULL DEFAULT '',
  -- 0 queued, 1 running, 2 waiting, 3 succeeded, 4 dead, 5 cancelled.
  state            INTEGER NOT NULL DEFAULT 0,
  lane             INTEGER NOT NULL,
  reason           TEXT    NOT NULL DEFAULT '',
  -- When it was queued, or until when it waits.
  run_at           BIGINT  NOT NULL,
  claim            BIGINT  NOT NULL DEFAULT 0,
  worker           TEXT COLLATE "C" NOT NULL DEFAULT '',
  attempt          INTEGER NOT NULL DEFAULT 0,
  cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
  output           BYTEA,
  error            BYTEA,
  fingerprint      TEXT COLLATE "C" NOT NULL DEFAULT '',
  tags             BYTEA,
  created_at       BIGINT  NOT NULL,
  started_at       BIGINT  NOT NULL DEFAULT 0,
  finished_at      BIGINT  NOT NULL DEFAULT 0,
  changed_at       BIGINT  NOT NULL,
  PRIMARY KEY (tenant, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX executions_ready ON executions (tenant, lane, run_at, id) WHERE state = 0;
CREATE INDEX executions_running ON executions (tenant, worker) WHERE state = 1;
CREATE INDEX executions_waiting ON executions (run_at) WHERE state = 2;
CREATE INDEX executions_paused ON executions (tenant, installation) WHERE state = 2 AND reason = 'paused';
CREATE INDEX executions_dead ON executions (tenant, fingerprint, installation) WHERE state = 4;
CREATE INDEX executions_changed ON executions (tenant, changed_at, id);

CREATE TABLE attempts (
  tenant    TEXT COLLATE "C" NOT NULL,
  execution TEXT COLLATE "C" NOT NULL,
  claim     BIGINT NOT NULL,
  body      BYTEA  NOT NULL,
  PRIMARY KEY (tenant, execution, claim)
);

CREATE TABLE execution_tags (
  tenant    TEXT COLLATE "C" NOT NULL,
  name      BYTEA NOT NULL,
  value     BYTEA NOT NULL,
  execution TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, name, value, execution)
);

CREATE TABLE checkpoints (
  tenant       TEXT COLLATE "C" NOT NULL,
  installation TEXT COLLATE "C" NOT NULL,
  poll         TEXT COLLATE "C" NOT NULL,
  cursor_value BYTEA,
  PRIMARY KEY (tenant, installation, poll)
);

-- Versions come from one sequence for all keys, so that a key that was deleted
-- and set again never has a version that it had before.
CREATE SEQUENCE state_versions;
CREATE TABLE state_values (
  tenant       TEXT COLLATE "C" NOT NULL,
  installation TEXT COLLATE "C" NOT NULL,
  key          BYTEA  NOT NULL,
  value        BYTEA  NOT NULL,
  version      BIGINT NOT NULL,
  PRIMARY KEY (tenant, installation, key)
) WITH (fillfactor = 85);

CREATE TABLE workers (
  id          TEXT COLLATE "C" PRIMARY KEY,
  lease_until BIGINT  NOT NULL,
  reaped      BOOLEAN NOT NULL,
  created_at  BIGINT  NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE idempotency_keys (
  scope      TEXT COLLATE "C" NOT NULL,
  key        BYTEA   NOT NULL,
  digest     BYTEA   NOT NULL,
  -- 0 while the request is under way.
  status     INTEGER NOT NULL,
  body       BYTEA,
  created_at BIGINT  NOT NULL,
  PRIMARY KEY (scope, key)
);

CREATE TABLE publishers (
  id         TEXT COLLATE "C" PRIMARY KEY,
  name       TEXT   NOT NULL UNIQUE,
  kind       TEXT   NOT NULL,
  tenant     TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE plugins (
  id         TEXT COLLATE "C" PRIMARY KEY,
  publisher  TEXT COLLATE "C" NOT NULL REFERENCES publishers (id),
  name       TEXT   NOT NULL,
  title      TEXT   NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (publisher, name)
);
CREATE INDEX plugins_name ON plugins (name);

CREATE TABLE plugin_shares (
  plugin TEXT COLLATE "C" NOT NULL REFERENCES plugins (id),
  tenant TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (plugin, tenant)
);

CREATE TABLE blobs (
  digest TEXT COLLATE "C" PRIMARY KEY,
  bytes  BYTEA NOT NULL
);

CREATE TABLE plugin_versions (
  id         TEXT COLLATE "C" PRIMARY KEY,
  plugin     TEXT COLLATE "C" NOT NULL REFERENCES plugins (id),
  version    TEXT   NOT NULL,
  digest     TEXT COLLATE "C" NOT NULL REFERENCES blobs (digest),
  size       BIGINT NOT NULL,
  manifest   BYTEA  NOT NULL,
  created_at BIGINT NOT NULL,
  yanked_at  BIGINT NOT NULL,
  yanked_why TEXT   NOT NULL,
  UNIQUE (plugin, version)
);
