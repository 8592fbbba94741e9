-- +goose Up

-- Where messages leave for: URLs of tenants' and of the operator's, whose tenant is the
-- reserved one.
CREATE TABLE destinations (
  tenant          TEXT NOT NULL REFERENCES tenants (id),
  id              TEXT NOT NULL,
  name            TEXT NOT NULL,
  -- URL and kinds, as JSON.
  spec            BLOB NOT NULL,
  -- The signing secrets.
  sealed          BLOB,
  ordered         INTEGER NOT NULL,
  state           TEXT NOT NULL,
  reason          TEXT NOT NULL,
  since           INTEGER NOT NULL,
  -- When sending began to do nothing but fail, and when it failed last.
  failing_since   INTEGER NOT NULL DEFAULT 0,
  failed_at       INTEGER NOT NULL DEFAULT 0,
  throttled_until INTEGER NOT NULL DEFAULT 0,
  -- When something was claimed of it last: whose turn is longest ago comes first.
  served_at       INTEGER NOT NULL DEFAULT 0,
  version         INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, name)
) STRICT;

-- What has happened and is to be told, until it is known to whom. Rows are put here by the
-- transactions in which it happens.
CREATE TABLE outbox (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL,
  -- record, notice or dead.
  source TEXT NOT NULL,
  -- The id of the event, the notice or the execution, and the record's name or the
  -- notice's kind.
  object TEXT NOT NULL,
  name   TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_tenant ON outbox (tenant);
CREATE INDEX outbox_dead ON outbox (seq) WHERE source = 'dead';

CREATE TABLE deliveries (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL UNIQUE,
  -- Whose destination it is, and whose data.
  owner       TEXT NOT NULL,
  destination TEXT NOT NULL,
  tenant      TEXT NOT NULL,
  type        TEXT NOT NULL,
  source      TEXT NOT NULL,
  object      TEXT NOT NULL,
  -- 0 waiting, 1 delivered, 2 failed.
  state       INTEGER NOT NULL,
  tries       INTEGER NOT NULL,
  -- While it is sent it is due when the lease ends.
  due_at      INTEGER NOT NULL,
  claim       INTEGER NOT NULL,
  leased      INTEGER NOT NULL,
  -- The attempts, sealed.
  log         BLOB,
  created_at  INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  UNIQUE (destination, object)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 0;
CREATE INDEX deliveries_waiting ON deliveries (destination, due_at) WHERE state = 0;
CREATE INDEX deliveries_order ON deliveries (destination, seq) WHERE state = 0;
CREATE INDEX deliveries_listed ON deliveries (destination, id);
CREATE INDEX deliveries_tenant ON deliveries (tenant, id);

-- What is watched of a tenant's: that endpoints and schedules are heard of, that its queue
-- is worked off, and the digest.
CREATE TABLE watches (
  tenant     TEXT NOT NULL REFERENCES tenants (id),
  -- The id of an endpoint or schedule, or queue, or digest.
  object     TEXT NOT NULL,
  within_us  INTEGER NOT NULL,
  -- Since when nothing is heard of it, or up to when the digest is written.
  since      INTEGER NOT NULL,
  -- When it was told that nothing is heard, or that it is late; 0 while all is well.
  told_at    INTEGER NOT NULL,
  looked_at  INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, object)
) STRICT;

-- Executions that die for one reason, until none has for a while.
CREATE TABLE failings (
  tenant       TEXT NOT NULL,
  installation TEXT NOT NULL,
  fingerprint  TEXT NOT NULL,
  first_at     INTEGER NOT NULL,
  last_at      INTEGER NOT NULL,
  count        INTEGER NOT NULL,
  -- An execution of them.
  sample       TEXT NOT NULL,
  told_at      INTEGER NOT NULL,
  PRIMARY KEY (tenant, installation, fingerprint)
) STRICT;
CREATE INDEX failings_last ON failings (last_at);

-- Triggers, because executions end and records are stored by many statements, some of them
-- those of a program of the version before.
-- +goose StatementBegin
CREATE TRIGGER outbox_record AFTER INSERT ON events WHEN NEW.kind = 'record'
BEGIN
  INSERT INTO outbox (tenant, source, object, name) SELECT NEW.tenant, 'record', NEW.id, NEW.name
  WHERE EXISTS (SELECT 1 FROM destinations WHERE tenant IN (NEW.tenant, 'ten_00000000000000000000000000'));
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outbox_notice AFTER INSERT ON notices
BEGIN
  INSERT INTO outbox (tenant, source, object, name) SELECT NEW.tenant, 'notice', NEW.id, NEW.kind
  WHERE EXISTS (SELECT 1 FROM destinations WHERE tenant IN (NEW.tenant, 'ten_00000000000000000000000000'));
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outbox_dead AFTER UPDATE OF state ON executions WHEN NEW.state = 4 AND OLD.state <> 4
BEGIN
  INSERT INTO outbox (tenant, source, object, name) VALUES (NEW.tenant, 'dead', NEW.id, '');
END;
-- +goose StatementEnd
