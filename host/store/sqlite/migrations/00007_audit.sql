-- +goose Up

-- The audit log: see the package audit. Who an entry is about is no reference, and is
-- not named tenant: it outlives the tenant.

-- What has happened and has no number yet.
CREATE TABLE audit_pending (
  seq   INTEGER PRIMARY KEY AUTOINCREMENT,
  id    TEXT NOT NULL UNIQUE,
  about TEXT NOT NULL,
  body  BLOB NOT NULL
);

-- The texts of leaves; without a body, only the hash is left.
CREATE TABLE audit_leaves (
  n      BIGINT PRIMARY KEY,
  about  TEXT NOT NULL,
  action TEXT NOT NULL,
  at     BIGINT NOT NULL,
  hash   BLOB NOT NULL,
  body   BLOB
);
CREATE INDEX audit_leaves_about ON audit_leaves (about, n);
CREATE INDEX audit_leaves_kept ON audit_leaves (n) WHERE body IS NOT NULL;

-- The tree: 256 hashes a row; one row says how large it is.
CREATE TABLE audit_tiles (
  level INT NOT NULL,
  n     BIGINT NOT NULL,
  data  BLOB NOT NULL,
  PRIMARY KEY (level, n)
);
CREATE TABLE audit_tree (
  id   INT PRIMARY KEY,
  size BIGINT NOT NULL,
  root BLOB NOT NULL
);
INSERT INTO audit_tree (id, size, root) VALUES (1, 0, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');

CREATE TABLE audit_checkpoints (
  size BIGINT PRIMARY KEY,
  at   BIGINT NOT NULL,
  note BLOB NOT NULL
);
