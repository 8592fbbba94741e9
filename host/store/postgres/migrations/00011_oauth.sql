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
  tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  id         TEXT COLLATE "C" NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  provider   TEXT COLLATE "C" NOT NULL,
  -- The provider's descriptor, where it does not come with the program.
  descriptor BYTEA,
  client_id  TEXT   NOT NULL,
  settings   BYTEA  NOT NULL,
  sealed     BYTEA  NOT NULL,
  version    BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, name)
);

-- What users agreed to: the tokens of connections. A row outlives its connection until
-- its tokens are revoked.
CREATE TABLE authorizations (
  tenant           TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  connection       TEXT COLLATE "C" NOT NULL,
  -- Fences: each change of the tokens counts it up, and is for the version before.
  version          BIGINT NOT NULL,
  app              TEXT COLLATE "C" NOT NULL,
  provider         TEXT COLLATE "C" NOT NULL,
  -- active, broken or revoking.
  state            TEXT COLLATE "C" NOT NULL,
  sealed           BYTEA  NOT NULL,
  -- What else people see of it, as JSON: its grant and scopes.
  about            BYTEA NOT NULL,
  obtained_at      BIGINT NOT NULL,
  -- 0 for what nobody knows.
  expires_at       BIGINT NOT NULL,
  -- When it is due to be refreshed, or revoked: 0 for never.
  due_at           BIGINT NOT NULL,
  worked_at        BIGINT NOT NULL DEFAULT 0,
  -- Who refreshes it, until when, since when, and the hash of what is sent.
  lease_owner      TEXT COLLATE "C" NOT NULL DEFAULT '',
  lease_until      BIGINT NOT NULL DEFAULT 0,
  refreshing_since BIGINT NOT NULL DEFAULT 0,
  refreshing_hash  BYTEA,
  failures         BIGINT NOT NULL DEFAULT 0,
  -- The last error, as JSON, with nothing secret in it.
  error            BYTEA,
  failed_at        BIGINT NOT NULL DEFAULT 0,
  broken_since     BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, connection)
);
CREATE INDEX authorizations_due ON authorizations (due_at) WHERE due_at > 0;

-- Authorizations that users were sent to, until they come back.
CREATE TABLE oauth_flows (
  -- The SHA-256 of the state.
  id         TEXT COLLATE "C" PRIMARY KEY,
  tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  sealed     BYTEA  NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oauth_flows_tenant ON oauth_flows (tenant);
CREATE INDEX oauth_flows_expires ON oauth_flows (expires_at);

-- Visits of users who connect an account.
CREATE TABLE connect_sessions (
  tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  id         TEXT COLLATE "C" NOT NULL,
  -- The SHA-256 of the secret in the link.
  digest     BYTEA  NOT NULL UNIQUE,
  state      TEXT COLLATE "C" NOT NULL,
  -- What was asked for and what has come of it, as JSON, with nothing secret in it.
  body       BYTEA  NOT NULL,
  -- What came and is not a connection's yet, such as tokens while the user chooses.
  sealed     BYTEA,
  version    BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
-- A browser has the id, and a cookie; whose tenant's it is, the row says.
CREATE UNIQUE INDEX connect_sessions_id ON connect_sessions (id);
CREATE INDEX connect_sessions_expires ON connect_sessions (expires_at);

-- What tenants and the operator are told, each once.
CREATE TABLE notices (
  tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  id         TEXT COLLATE "C" NOT NULL,
  -- What it is about: there is one notice of it.
  subject    TEXT COLLATE "C" NOT NULL,
  kind       TEXT COLLATE "C" NOT NULL,
  body       BYTEA  NOT NULL,
  created_at BIGINT NOT NULL,
  -- When the operator's own were told: 0 for not yet.
  told_at    BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, subject)
);
CREATE INDEX notices_untold ON notices (created_at) WHERE told_at = 0;
