-- +goose Up

-- How many executions of an installation may run at once, in the cluster: 0 is as many
-- as the tenant's.
ALTER TABLE installations ADD COLUMN running INTEGER NOT NULL DEFAULT 0;
CREATE INDEX installations_capped ON installations (tenant) WHERE running > 0;
CREATE INDEX executions_of ON executions (tenant, installation, lane, run_at, id) WHERE state = 0;

-- Since when a plugin is paused, for all tenants: 0 for not.
ALTER TABLE plugins ADD COLUMN paused_at INTEGER NOT NULL DEFAULT 0;

-- What waits, by what for.
CREATE INDEX executions_parked ON executions (tenant, reason, installation) WHERE state = 2;

-- A line: executions of one order_key run one after another, in the order of order_seq.
-- One of them has its turn until it is done, and the others wait for the reason 'order'.
-- Triggers keep that, for whatever begins and ends executions.
ALTER TABLE executions ADD COLUMN order_key TEXT NOT NULL DEFAULT '';
ALTER TABLE executions ADD COLUMN order_seq INTEGER NOT NULL DEFAULT 0;
CREATE INDEX executions_line ON executions (tenant, order_key, order_seq) WHERE state = 2 AND reason = 'order';
CREATE INDEX executions_turn ON executions (tenant, order_key) WHERE order_key <> '' AND state < 3 AND reason <> 'order';
INSERT INTO sequences (name, value) VALUES ('order', 0);

-- +goose StatementBegin
CREATE TRIGGER executions_line_up AFTER INSERT ON executions WHEN NEW.order_key <> '' BEGIN
  UPDATE sequences SET value = value + 1 WHERE name = 'order';
  UPDATE executions SET order_seq = (SELECT value FROM sequences WHERE name = 'order') WHERE rowid = NEW.rowid;
  UPDATE executions SET state = 2, reason = 'order', run_at = 9223372036854775807 WHERE rowid = NEW.rowid AND EXISTS (
    SELECT 1 FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> ''
      AND e.state < 3 AND e.reason <> 'order' AND e.rowid <> NEW.rowid);
END;
-- +goose StatementEnd

-- What was done and is to run again waits for its turn, too.
-- +goose StatementBegin
CREATE TRIGGER executions_line_up_again AFTER UPDATE OF state ON executions
WHEN NEW.order_key <> '' AND OLD.state >= 3 AND NEW.state < 3 BEGIN
  UPDATE executions SET state = 2, reason = 'order', run_at = 9223372036854775807 WHERE rowid = NEW.rowid AND EXISTS (
    SELECT 1 FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> ''
      AND e.state < 3 AND e.reason <> 'order' AND e.rowid <> NEW.rowid);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER executions_line_next AFTER UPDATE OF state ON executions
WHEN NEW.order_key <> '' AND OLD.state < 3 AND NEW.state >= 3 AND OLD.reason <> 'order' BEGIN
  UPDATE executions SET state = 0, reason = '', run_at = NEW.changed_at, changed_at = NEW.changed_at WHERE rowid = (
    SELECT e.rowid FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order'
    ORDER BY e.order_seq LIMIT 1);
END;
-- +goose StatementEnd
