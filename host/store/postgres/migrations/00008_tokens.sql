-- +goose Up

-- When a token was used last, and the secret that it had before, which opens for a while.
ALTER TABLE tokens
  ADD COLUMN used_at       BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN rotated_at    BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN previous_hash BYTEA,
  ADD COLUMN overlap_until BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tokens_previous_hash ON tokens (previous_hash) WHERE previous_hash IS NOT NULL;

-- What signs tokens that are not kept: one key of a tenant. Its id is the tenant's.
CREATE TABLE token_keys (
  tenant  TEXT COLLATE "C" PRIMARY KEY REFERENCES tenants (id),
  id      TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  sealed  BYTEA  NOT NULL
);
