-- +goose Up

-- What waits in a line waits for all that is before it, which therefore inherits its lane:
-- live work behind backfill would else begin when backfill has its turn. So along a line no
-- lane is later than the next one's, and who joins looks at no more than it changes.
DROP TRIGGER executions_line_up;
-- +goose StatementBegin
CREATE TRIGGER executions_line_up AFTER INSERT ON executions WHEN NEW.order_key <> '' BEGIN
  UPDATE sequences SET value = value + 1 WHERE name = 'order';
  UPDATE executions SET order_seq = (SELECT value FROM sequences WHERE name = 'order') WHERE rowid = NEW.rowid;
  UPDATE executions SET lane = NEW.lane WHERE rowid = (SELECT e.rowid FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> '' AND e.state < 3 AND e.reason <> 'order'
      AND e.rowid <> NEW.rowid) AND lane > NEW.lane;
  UPDATE executions SET lane = NEW.lane WHERE rowid IN (SELECT e.rowid FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order' AND e.lane > NEW.lane
      AND e.order_seq > COALESCE((SELECT b.order_seq FROM executions b
        WHERE b.tenant = NEW.tenant AND b.order_key = NEW.order_key AND b.state = 2 AND b.reason = 'order' AND b.lane <= NEW.lane
        ORDER BY b.order_seq DESC LIMIT 1), 0));
  UPDATE executions SET state = 2, reason = 'order', run_at = 9223372036854775807 WHERE rowid = NEW.rowid AND EXISTS (
    SELECT 1 FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> ''
      AND e.state < 3 AND e.reason <> 'order' AND e.rowid <> NEW.rowid);
END;
-- +goose StatementEnd
DROP TRIGGER executions_line_up_again;
-- +goose StatementBegin
CREATE TRIGGER executions_line_up_again AFTER UPDATE OF state ON executions
WHEN NEW.order_key <> '' AND OLD.state >= 3 AND NEW.state < 3 BEGIN
  UPDATE executions SET lane = MIN(NEW.lane, COALESCE((SELECT e.lane FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order' AND e.order_seq > NEW.order_seq
    ORDER BY e.order_seq LIMIT 1), NEW.lane)) WHERE rowid = NEW.rowid;
  UPDATE executions SET lane = (SELECT lane FROM executions WHERE rowid = NEW.rowid) WHERE rowid = (SELECT e.rowid FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> '' AND e.state < 3 AND e.reason <> 'order'
      AND e.rowid <> NEW.rowid) AND lane > (SELECT lane FROM executions WHERE rowid = NEW.rowid);
  UPDATE executions SET lane = (SELECT lane FROM executions WHERE rowid = NEW.rowid) WHERE rowid IN (SELECT e.rowid FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order' AND e.order_seq < NEW.order_seq
      AND e.lane > (SELECT lane FROM executions WHERE rowid = NEW.rowid)
      AND e.order_seq > COALESCE((SELECT b.order_seq FROM executions b
        WHERE b.tenant = NEW.tenant AND b.order_key = NEW.order_key AND b.state = 2 AND b.reason = 'order' AND b.order_seq < NEW.order_seq
          AND b.lane <= (SELECT lane FROM executions WHERE rowid = NEW.rowid)
        ORDER BY b.order_seq DESC LIMIT 1), 0));
  UPDATE executions SET state = 2, reason = 'order', run_at = 9223372036854775807 WHERE rowid = NEW.rowid AND EXISTS (
    SELECT 1 FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> ''
      AND e.state < 3 AND e.reason <> 'order' AND e.rowid <> NEW.rowid);
END;
-- +goose StatementEnd
