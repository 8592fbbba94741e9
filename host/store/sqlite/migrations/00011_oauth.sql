-- +goose Up

-- What the operator has sealed is sealed under a tenant of its own, which nobody sees.
INSERT INTO tenants (id, name, title, running, weight, state, created_at)
VALUES ('ten_00000000000000000000000000', 'ten_00000000000000000000000000', '', 1, 1, 'reserved', 0);

-- The worker of an execution that waits for a connection to work again is that
-- connection's id: it has no other, and servers of the schema before read this one.
CREATE INDEX executions_reconnect ON executions (tenant, worker) WHERE state = 2 AND reason = 'reconnect';

-- Clients that are registered with authorization servers: a tenant's own, or the
-- operator's, for all tenants.
CREATE TABLE oauth_apps (
  tenant     TEXT NOT NULL REFERENCES tenants (id),
  id         TEXT NOT NULL,
  name       TEXT NOT NULL,
  provider   TEXT NOT NULL,
  -- The provider's descriptor, where it does not come with the program.
  descriptor BLOB,
  client_id  TEXT   NOT NULL,
  settings   BLOB  NOT NULL,
  sealed     BLOB  NOT NULL,
  version    INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, name)
) STRICT;

-- What users agreed to: the tokens of connections. A row outlives its connection until
-- its tokens are revoked.
CREATE TABLE authorizations (
  tenant           TEXT NOT NULL REFERENCES tenants (id),
  connection       TEXT NOT NULL,
  -- Fences: each change of the tokens counts it up, and is for the version before.
  version          INTEGER NOT NULL,
  app              TEXT NOT NULL,
  provider         TEXT NOT NULL,
  -- active, broken or revoking.
  state            TEXT NOT NULL,
  sealed           BLOB  NOT NULL,
  -- What else people see of it, as JSON: its grant and scopes.
  about            BLOB  NOT NULL,
  obtained_at      INTEGER NOT NULL,
  -- 0 for what nobody knows.
  expires_at       INTEGER NOT NULL,
  -- When it is due to be refreshed, or revoked: 0 for never.
  due_at           INTEGER NOT NULL,
  worked_at        INTEGER NOT NULL DEFAULT 0,
  -- Who refreshes it, until when, since when, and the hash of what is sent.
  lease_owner      TEXT NOT NULL DEFAULT '',
  lease_until      INTEGER NOT NULL DEFAULT 0,
  refreshing_since INTEGER NOT NULL DEFAULT 0,
  refreshing_hash  BLOB,
  failures         INTEGER NOT NULL DEFAULT 0,
  -- The last error, as JSON, with nothing secret in it.
  error            BLOB,
  failed_at        INTEGER NOT NULL DEFAULT 0,
  broken_since     INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, connection)
) STRICT;
CREATE INDEX authorizations_due ON authorizations (due_at) WHERE due_at > 0;

-- Authorizations that users were sent to, until they come back.
CREATE TABLE oauth_flows (
  -- The SHA-256 of the state.
  id         TEXT PRIMARY KEY,
  tenant     TEXT NOT NULL REFERENCES tenants (id),
  sealed     BLOB  NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX oauth_flows_tenant ON oauth_flows (tenant);
CREATE INDEX oauth_flows_expires ON oauth_flows (expires_at);

-- Visits of users who connect an account.
CREATE TABLE connect_sessions (
  tenant     TEXT NOT NULL REFERENCES tenants (id),
  id         TEXT NOT NULL,
  -- The SHA-256 of the secret in the link.
  digest     BLOB  NOT NULL UNIQUE,
  state      TEXT NOT NULL,
  -- What was asked for and what has come of it, as JSON, with nothing secret in it.
  body       BLOB  NOT NULL,
  -- What came and is not a connection's yet, such as tokens while the user chooses.
  sealed     BLOB,
  version    INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
-- A browser has the id, and a cookie; whose tenant's it is, the row says.
CREATE UNIQUE INDEX connect_sessions_id ON connect_sessions (id);
CREATE INDEX connect_sessions_expires ON connect_sessions (expires_at);

-- What tenants and the operator are told, each once.
CREATE TABLE notices (
  tenant     TEXT NOT NULL REFERENCES tenants (id),
  id         TEXT NOT NULL,
  -- What it is about: there is one notice of it.
  subject    TEXT NOT NULL,
  kind       TEXT NOT NULL,
  body       BLOB  NOT NULL,
  created_at INTEGER NOT NULL,
  -- When the operator's own were told: 0 for not yet.
  told_at    INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, subject)
) STRICT;
CREATE INDEX notices_untold ON notices (created_at) WHERE told_at = 0;
