-- +goose Up

-- What waits in a line waits for what has its turn, which therefore inherits the first of
-- their lanes: live work behind backfill would else begin when backfill has its turn. It
-- does so whenever it is queued, and when somebody joins while it is; for good, so that
-- what inherited keeps that lane. What runs keeps its own, which is counted under caps.
CREATE INDEX executions_line_lane ON executions (tenant, order_key, lane) WHERE state = 2 AND reason = 'order';

-- +goose StatementBegin
CREATE TRIGGER executions_line_joined AFTER INSERT ON executions WHEN NEW.order_key <> '' BEGIN
  UPDATE executions SET lane = NEW.lane WHERE rowid = (SELECT e.rowid FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> '' AND e.state < 3 AND e.reason <> 'order'
      AND e.rowid <> NEW.rowid) AND state = 0 AND lane > NEW.lane;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER executions_line_joined_again AFTER UPDATE OF state ON executions
WHEN NEW.order_key <> '' AND OLD.state >= 3 AND NEW.state < 3 BEGIN
  UPDATE executions SET lane = NEW.lane WHERE rowid = (SELECT e.rowid FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> '' AND e.state < 3 AND e.reason <> 'order'
      AND e.rowid <> NEW.rowid) AND state = 0 AND lane > NEW.lane;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER executions_line_lane AFTER UPDATE OF state ON executions
WHEN NEW.order_key <> '' AND OLD.state IN (1, 2) AND NEW.state = 0 BEGIN
  UPDATE executions SET lane = (SELECT MIN(e.lane) FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order' AND e.rowid <> NEW.rowid)
  WHERE rowid = NEW.rowid AND lane > (SELECT MIN(e.lane) FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order' AND e.rowid <> NEW.rowid);
END;
-- +goose StatementEnd
