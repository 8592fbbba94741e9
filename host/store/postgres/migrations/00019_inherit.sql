-- +goose Up

-- What waits in a line waits for what has its turn, which therefore inherits the first of
-- their lanes: live work behind backfill would else begin when backfill has its turn. It
-- does so whenever it is queued, and when somebody joins while it is; for good, so that
-- what inherited keeps that lane. What runs keeps its own, which is counted under caps. Who
-- queues it without the line's lock may miss somebody who joins at the same moment: the next
-- to join mends that.
CREATE INDEX executions_line_lane ON executions (tenant, order_key, lane) WHERE state = 2 AND reason = 'order';

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION executions_line_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  turn RECORD;
BEGIN
  PERFORM executions_lock_line(NEW.order_key);
  IF NEW.order_seq = 0 THEN
    NEW.order_seq := nextval('execution_order');
  END IF;
  SELECT e.id, e.state, e.lane INTO turn FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> ''
    AND e.state < 3 AND e.reason <> 'order' AND e.id <> NEW.id;
  IF NOT FOUND THEN
    RETURN NEW;
  END IF;
  NEW.state := 2;
  NEW.reason := 'order';
  NEW.run_at := 9223372036854775807;
  -- Who claims or cancels it meanwhile is not waited for: they may wait for the line's lock.
  IF turn.state = 0 AND turn.lane > NEW.lane THEN
    UPDATE executions SET lane = NEW.lane WHERE tenant = NEW.tenant AND id = (
      SELECT e.id FROM executions e WHERE e.tenant = NEW.tenant AND e.id = turn.id AND e.state = 0 AND e.lane > NEW.lane FOR UPDATE SKIP LOCKED);
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION executions_line_lane() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.lane := LEAST(NEW.lane, (SELECT min(e.lane) FROM executions e
    WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order' AND e.id <> NEW.id));
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER executions_line_lane BEFORE UPDATE OF state ON executions FOR EACH ROW
  WHEN (NEW.order_key <> '' AND OLD.state IN (1, 2) AND NEW.state = 0) EXECUTE FUNCTION executions_line_lane();
