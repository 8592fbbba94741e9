-- +goose Up

-- What a version was published with, besides its bytes, and what became of it. An
-- empty channel is that of its number.
ALTER TABLE plugin_versions
  ADD COLUMN channel        TEXT   NOT NULL DEFAULT '',
  ADD COLUMN changes        BYTEA,
  ADD COLUMN build          BYTEA,
  ADD COLUMN signature      BYTEA,
  ADD COLUMN signer         TEXT COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN deprecated_at  BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN deprecated_why TEXT   NOT NULL DEFAULT '';
ALTER TABLE plugins
  ADD COLUMN deprecated_at  BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN deprecated_why TEXT   NOT NULL DEFAULT '';

-- The keys that publishers sign with.
CREATE TABLE publisher_keys (
  publisher  TEXT COLLATE "C" NOT NULL REFERENCES publishers (id) ON DELETE CASCADE,
  id         TEXT COLLATE "C" NOT NULL,
  title      TEXT   NOT NULL,
  public     TEXT   NOT NULL,
  created_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL,
  PRIMARY KEY (publisher, id)
);

-- The channel that an installation follows, and the version that it waits to go to.
ALTER TABLE installations
  ADD COLUMN channel TEXT NOT NULL DEFAULT '',
  ADD COLUMN upgrade BYTEA;
CREATE INDEX installations_following ON installations (tenant, id) WHERE channel <> '' AND state <> 'removed';

-- What a plugin may know of an account.
ALTER TABLE connections ADD COLUMN fields BYTEA;
