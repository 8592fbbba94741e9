-- +goose Up

-- Where messages leave for: URLs of tenants' and of the operator's, whose tenant is the
-- reserved one.
CREATE TABLE destinations (
  tenant          TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  id              TEXT COLLATE "C" NOT NULL,
  name            TEXT COLLATE "C" NOT NULL,
  -- URL and kinds, as JSON.
  spec            BYTEA NOT NULL,
  -- The signing secrets.
  sealed          BYTEA,
  ordered         BIGINT NOT NULL,
  state           TEXT NOT NULL,
  reason          TEXT NOT NULL,
  since           BIGINT NOT NULL,
  -- When sending began to do nothing but fail, and when it failed last.
  failing_since   BIGINT NOT NULL DEFAULT 0,
  failed_at       BIGINT NOT NULL DEFAULT 0,
  throttled_until BIGINT NOT NULL DEFAULT 0,
  -- When something was claimed of it last: whose turn is longest ago comes first.
  served_at       BIGINT NOT NULL DEFAULT 0,
  version         BIGINT NOT NULL,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, name)
);

-- What has happened and is to be told, until it is known to whom. Rows are put here by the
-- transactions in which it happens.
CREATE TABLE outbox (
  seq    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  -- record, notice or dead.
  source TEXT NOT NULL,
  -- The id of the event, the notice or the execution, and the record's name or the
  -- notice's kind.
  object TEXT COLLATE "C" NOT NULL,
  name   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX outbox_tenant ON outbox (tenant);
CREATE INDEX outbox_dead ON outbox (seq) WHERE source = 'dead';

CREATE TABLE deliveries (
  seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id          TEXT COLLATE "C" NOT NULL UNIQUE,
  -- Whose destination it is, and whose data.
  owner       TEXT COLLATE "C" NOT NULL,
  destination TEXT COLLATE "C" NOT NULL,
  tenant      TEXT COLLATE "C" NOT NULL,
  type        TEXT COLLATE "C" NOT NULL,
  source      TEXT NOT NULL,
  object      TEXT COLLATE "C" NOT NULL,
  -- 0 waiting, 1 delivered, 2 failed.
  state       BIGINT NOT NULL,
  tries       BIGINT NOT NULL,
  -- While it is sent it is due when the lease ends.
  due_at      BIGINT NOT NULL,
  claim       BIGINT NOT NULL,
  leased      BIGINT NOT NULL,
  -- The attempts, sealed.
  log         BYTEA,
  created_at  BIGINT NOT NULL,
  finished_at BIGINT NOT NULL,
  UNIQUE (destination, object)
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 0;
CREATE INDEX deliveries_waiting ON deliveries (destination, due_at) WHERE state = 0;
CREATE INDEX deliveries_order ON deliveries (destination, seq) WHERE state = 0;
CREATE INDEX deliveries_listed ON deliveries (destination, id);
CREATE INDEX deliveries_tenant ON deliveries (tenant, id);

-- What is watched of a tenant's: that endpoints and schedules are heard of, that its queue
-- is worked off, and the digest.
CREATE TABLE watches (
  tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants (id),
  -- The id of an endpoint or schedule, or queue, or digest.
  object     TEXT COLLATE "C" NOT NULL,
  within_us  BIGINT NOT NULL,
  -- Since when nothing is heard of it, or up to when the digest is written.
  since      BIGINT NOT NULL,
  -- When it was told that nothing is heard, or that it is late; 0 while all is well.
  told_at    BIGINT NOT NULL,
  looked_at  BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant, object)
);

-- Executions that die for one reason, until none has for a while.
CREATE TABLE failings (
  tenant       TEXT COLLATE "C" NOT NULL,
  installation TEXT COLLATE "C" NOT NULL,
  fingerprint  TEXT COLLATE "C" NOT NULL,
  first_at     BIGINT NOT NULL,
  last_at      BIGINT NOT NULL,
  count        BIGINT NOT NULL,
  -- An execution of them.
  sample       TEXT COLLATE "C" NOT NULL,
  told_at      BIGINT NOT NULL,
  PRIMARY KEY (tenant, installation, fingerprint)
);
CREATE INDEX failings_last ON failings (last_at);

-- Triggers, because executions end and records are stored by many statements, some of them
-- those of a program of the version before.
-- +goose StatementBegin
CREATE FUNCTION outbox_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO outbox (tenant, source, object, name) SELECT NEW.tenant, 'record', NEW.id, NEW.name
  WHERE EXISTS (SELECT 1 FROM destinations WHERE tenant IN (NEW.tenant, 'ten_00000000000000000000000000'));
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER outbox_record AFTER INSERT ON events FOR EACH ROW WHEN (NEW.kind = 'record') EXECUTE FUNCTION outbox_record();
-- +goose StatementBegin
CREATE FUNCTION outbox_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO outbox (tenant, source, object, name) SELECT NEW.tenant, 'notice', NEW.id, NEW.kind
  WHERE EXISTS (SELECT 1 FROM destinations WHERE tenant IN (NEW.tenant, 'ten_00000000000000000000000000'));
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER outbox_notice AFTER INSERT ON notices FOR EACH ROW EXECUTE FUNCTION outbox_notice();
-- +goose StatementBegin
CREATE FUNCTION outbox_dead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO outbox (tenant, source, object, name) VALUES (NEW.tenant, 'dead', NEW.id, '');
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER outbox_dead AFTER UPDATE OF state ON executions FOR EACH ROW WHEN (NEW.state = 4 AND OLD.state <> 4) EXECUTE FUNCTION outbox_dead();
