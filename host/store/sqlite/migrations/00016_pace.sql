-- +goose Up

-- How requests go with connections: of one without a row, as they come.
CREATE TABLE paces (
  tenant      TEXT NOT NULL,
  connection  TEXT NOT NULL,
  -- What a person has said, as JSON; NULL for nothing.
  rate        BLOB,
  -- When it was paused, 0 if it is not.
  paused_at   INTEGER NOT NULL DEFAULT 0,
  -- When the next token is there, when the next turn of those who wait, and how many tokens
  -- the last lease has got.
  next_at     INTEGER NOT NULL DEFAULT 0,
  turns_at    INTEGER NOT NULL DEFAULT 0,
  taken       INTEGER NOT NULL DEFAULT 0,
  -- The breaker: closed or open; since when, until when, how often in a row, and why.
  state       TEXT NOT NULL DEFAULT 'closed',
  opened_at   INTEGER NOT NULL DEFAULT 0,
  retry_at    INTEGER NOT NULL DEFAULT 0,
  opens       INTEGER NOT NULL DEFAULT 0,
  why         TEXT NOT NULL DEFAULT '',
  -- Who tries whether it works again, and how long that may take.
  prober      TEXT NOT NULL DEFAULT '',
  probe_until INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, connection),
  FOREIGN KEY (tenant, connection) REFERENCES connections (tenant, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX paces_paused ON paces (paused_at) WHERE paused_at > 0;

-- What workers have in flight with connections that are paused.
CREATE TABLE pace_flights (
  tenant     TEXT NOT NULL,
  connection TEXT NOT NULL,
  worker     TEXT NOT NULL,
  requests   INTEGER NOT NULL,
  executions BLOB NOT NULL,
  seen_at    INTEGER NOT NULL,
  PRIMARY KEY (tenant, connection, worker),
  FOREIGN KEY (tenant, connection) REFERENCES connections (tenant, id) ON DELETE CASCADE
) STRICT;

-- What waits for a connection; its id is in the column of the worker, as it is of what
-- waits for one that is broken.
CREATE INDEX executions_paced ON executions (tenant, worker)
  WHERE state = 2 AND reason IN ('rate_limited', 'circuit_open', 'connection_paused');
