-- +goose Up

-- What waits in a line waits for all that is before it, which therefore inherits its lane:
-- live work behind backfill would else begin when backfill has its turn. So along a line no
-- lane is later than the next one's, and who joins looks at no more than it changes. What
-- somebody else changes meanwhile is passed over, for they may wait for the line's lock.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION executions_line_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  turn RECORD;
BEGIN
  PERFORM executions_lock_line(NEW.order_key);
  IF NEW.order_seq = 0 THEN
    NEW.order_seq := nextval('execution_order');
  END IF;
  SELECT e.id, e.lane INTO turn FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> ''
    AND e.state < 3 AND e.reason <> 'order' AND e.id <> NEW.id;
  IF NOT FOUND THEN
    RETURN NEW;
  END IF;
  NEW.state := 2;
  NEW.reason := 'order';
  NEW.run_at := 9223372036854775807;
  NEW.lane := LEAST(NEW.lane, (SELECT e.lane FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key
    AND e.state = 2 AND e.reason = 'order' AND e.order_seq > NEW.order_seq ORDER BY e.order_seq LIMIT 1));
  IF turn.lane > NEW.lane THEN
    UPDATE executions SET lane = NEW.lane WHERE tenant = NEW.tenant AND id = (
      SELECT e.id FROM executions e WHERE e.tenant = NEW.tenant AND e.id = turn.id AND e.state < 3 AND e.lane > NEW.lane FOR UPDATE SKIP LOCKED);
  END IF;
  UPDATE executions SET lane = NEW.lane WHERE tenant = NEW.tenant AND id = ANY (ARRAY(
    SELECT e.id FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order'
      AND e.order_seq < NEW.order_seq AND e.lane > NEW.lane AND e.order_seq > COALESCE((
        SELECT b.order_seq FROM executions b WHERE b.tenant = NEW.tenant AND b.order_key = NEW.order_key AND b.state = 2 AND b.reason = 'order'
          AND b.order_seq < NEW.order_seq AND b.lane <= NEW.lane ORDER BY b.order_seq DESC LIMIT 1), 0)
      FOR UPDATE SKIP LOCKED));
  RETURN NEW;
END $$;
-- +goose StatementEnd
