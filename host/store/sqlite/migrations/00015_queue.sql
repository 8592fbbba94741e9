-- +goose Up

-- How many executions of an installation may run at once: 0 is as many as the tenant's.
ALTER TABLE installations ADD COLUMN running INTEGER NOT NULL DEFAULT 0;
CREATE INDEX installations_capped ON installations (tenant) WHERE running > 0;
CREATE INDEX executions_of ON executions (tenant, installation, lane, run_at, id) WHERE state = 0;

-- Since when a plugin is paused, for all tenants: 0 for not.
ALTER TABLE plugins ADD COLUMN paused_at INTEGER NOT NULL DEFAULT 0;

-- What waits, by what for.
CREATE INDEX executions_parked ON executions (tenant, reason, installation) WHERE state = 2;

-- A line: the work that has one order_key runs one after another, in the order of
-- order_seq. One of it has its turn, and the others wait for the reason 'order'.
ALTER TABLE executions ADD COLUMN order_key TEXT NOT NULL DEFAULT '';
ALTER TABLE executions ADD COLUMN order_seq INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX executions_turn ON executions (tenant, order_key) WHERE order_key <> '' AND state < 3 AND reason <> 'order';
CREATE INDEX executions_line ON executions (tenant, order_key, order_seq) WHERE state = 2 AND reason = 'order';
INSERT INTO sequences (name, value) VALUES ('order', 0);

-- +goose StatementBegin
CREATE TRIGGER executions_line_up AFTER INSERT ON executions WHEN NEW.order_key <> '' AND NEW.state < 3 AND NEW.reason <> 'order' BEGIN
  SELECT RAISE(ABORT, 'what has an order_key comes with the reason order');
END;
-- +goose StatementEnd
