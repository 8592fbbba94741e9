-- +goose Up

-- What a version was published with, besides its bytes, and what became of it. An
-- empty channel is that of its number.
ALTER TABLE plugin_versions ADD COLUMN channel TEXT NOT NULL DEFAULT '';
ALTER TABLE plugin_versions ADD COLUMN changes BLOB;
ALTER TABLE plugin_versions ADD COLUMN build BLOB;
ALTER TABLE plugin_versions ADD COLUMN signature BLOB;
ALTER TABLE plugin_versions ADD COLUMN signer TEXT NOT NULL DEFAULT '';
ALTER TABLE plugin_versions ADD COLUMN deprecated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE plugin_versions ADD COLUMN deprecated_why TEXT NOT NULL DEFAULT '';
ALTER TABLE plugins ADD COLUMN deprecated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE plugins ADD COLUMN deprecated_why TEXT NOT NULL DEFAULT '';

-- The keys that publishers sign with.
CREATE TABLE publisher_keys (
  publisher  TEXT NOT NULL REFERENCES publishers (id) ON DELETE CASCADE,
  id         TEXT NOT NULL,
  title      TEXT NOT NULL,
  public     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL,
  PRIMARY KEY (publisher, id)
) STRICT, WITHOUT ROWID;

-- The channel that an installation follows, and the version that it waits to go to.
ALTER TABLE installations ADD COLUMN channel TEXT NOT NULL DEFAULT '';
ALTER TABLE installations ADD COLUMN upgrade BLOB;
CREATE INDEX installations_following ON installations (tenant, id) WHERE channel <> '' AND state <> 'removed';

-- What a plugin may know of an account.
ALTER TABLE connections ADD COLUMN fields BLOB;
