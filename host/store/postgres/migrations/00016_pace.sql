-- +goose Up

-- How requests go with connections: of one without a row, as they come.
CREATE TABLE paces (
  tenant      TEXT COLLATE "C" NOT NULL,
  connection  TEXT COLLATE "C" NOT NULL,
  -- What a person has said, as JSON; NULL for nothing.
  rate        BYTEA,
  -- When it was paused, 0 if it is not.
  paused_at   BIGINT NOT NULL DEFAULT 0,
  -- When the next token is there, when the next turn of those who wait, and how many tokens
  -- the last lease has got.
  next_at     BIGINT NOT NULL DEFAULT 0,
  turns_at    BIGINT NOT NULL DEFAULT 0,
  taken       BIGINT NOT NULL DEFAULT 0,
  -- The breaker: closed or open; since when, until when, how often in a row, and why.
  state       TEXT COLLATE "C" NOT NULL DEFAULT 'closed',
  opened_at   BIGINT NOT NULL DEFAULT 0,
  retry_at    BIGINT NOT NULL DEFAULT 0,
  opens       BIGINT NOT NULL DEFAULT 0,
  why         TEXT COLLATE "C" NOT NULL DEFAULT '',
  -- Who tries whether it works again, and how long that may take.
  prober      TEXT COLLATE "C" NOT NULL DEFAULT '',
  probe_until BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, connection),
  FOREIGN KEY (tenant, connection) REFERENCES connections (tenant, id) ON DELETE CASCADE
);
CREATE INDEX paces_paused ON paces (paused_at) WHERE paused_at > 0;

-- What workers have in flight with connections that are paused.
CREATE TABLE pace_flights (
  tenant     TEXT COLLATE "C" NOT NULL,
  connection TEXT COLLATE "C" NOT NULL,
  worker     TEXT COLLATE "C" NOT NULL,
  requests   BIGINT NOT NULL,
  executions BYTEA NOT NULL,
  seen_at    BIGINT NOT NULL,
  PRIMARY KEY (tenant, connection, worker),
  FOREIGN KEY (tenant, connection) REFERENCES connections (tenant, id) ON DELETE CASCADE
);

-- What waits for a connection; its id is in the column of the worker, as it is of what
-- waits for one that is broken.
CREATE INDEX executions_paced ON executions (tenant, worker)
  WHERE state = 2 AND reason IN ('rate_limited', 'circuit_open', 'connection_paused');
