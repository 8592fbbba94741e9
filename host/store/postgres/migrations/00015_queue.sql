-- +goose Up

-- How many executions of an installation may run at once, in the cluster: 0 is as many
-- as the tenant's.
ALTER TABLE installations ADD COLUMN running INTEGER NOT NULL DEFAULT 0;
CREATE INDEX installations_capped ON installations (tenant) WHERE running > 0;
CREATE INDEX executions_of ON executions (tenant, installation, lane, run_at, id) WHERE state = 0;

-- Since when a plugin is paused, for all tenants: 0 for not.
ALTER TABLE plugins ADD COLUMN paused_at BIGINT NOT NULL DEFAULT 0;

-- What waits, by what for.
CREATE INDEX executions_parked ON executions (tenant, reason, installation) WHERE state = 2;

-- A line: executions of one order_key run one after another, in the order of order_seq.
-- One of them has its turn until it is done, and the others wait for the reason 'order'.
-- Triggers keep that, for whatever begins and ends executions.
ALTER TABLE executions ADD COLUMN order_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE executions ADD COLUMN order_seq BIGINT NOT NULL DEFAULT 0;
CREATE INDEX executions_line ON executions (tenant, order_key, order_seq) WHERE state = 2 AND reason = 'order';
CREATE UNIQUE INDEX executions_turn ON executions (tenant, order_key) WHERE order_key <> '' AND state < 3 AND reason <> 'order';
CREATE SEQUENCE execution_order;

-- Who joins a line and who leaves it hold one lock, so that each sees what the other has
-- done. The lock is named by the key's first byte (an order_key is hexadecimal): whoever
-- changes many lines goes through them in the order of their keys, and so takes the
-- locks in one order.
-- +goose StatementBegin
CREATE FUNCTION executions_lock_line(order_key TEXT) RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(4419442, ('x' || substr(order_key, 1, 2))::bit(8)::int)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION executions_line_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM executions_lock_line(NEW.order_key);
  IF NEW.order_seq = 0 THEN
    NEW.order_seq := nextval('execution_order');
  END IF;
  IF EXISTS (SELECT 1 FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.order_key <> ''
      AND e.state < 3 AND e.reason <> 'order' AND e.id <> NEW.id) THEN
    NEW.state := 2;
    NEW.reason := 'order';
    NEW.run_at := 9223372036854775807;
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER executions_line_up BEFORE INSERT ON executions FOR EACH ROW
  WHEN (NEW.order_key <> '') EXECUTE FUNCTION executions_line_up();
-- What was done and is to run again waits for its turn, too.
CREATE TRIGGER executions_line_up_again BEFORE UPDATE OF state ON executions FOR EACH ROW
  WHEN (NEW.order_key <> '' AND OLD.state >= 3 AND NEW.state < 3) EXECUTE FUNCTION executions_line_up();

-- +goose StatementBegin
CREATE FUNCTION executions_line_next() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  next TEXT;
BEGIN
  PERFORM executions_lock_line(NEW.order_key);
  LOOP
    SELECT e.id INTO next FROM executions e WHERE e.tenant = NEW.tenant AND e.order_key = NEW.order_key AND e.state = 2 AND e.reason = 'order'
      ORDER BY e.order_seq LIMIT 1;
    EXIT WHEN NOT FOUND;
    UPDATE executions e SET state = 0, reason = '', run_at = NEW.changed_at, changed_at = NEW.changed_at
      WHERE e.tenant = NEW.tenant AND e.id = next AND e.state = 2 AND e.reason = 'order';
    -- Else it was cancelled meanwhile: then the one after it has its turn.
    EXIT WHEN FOUND;
  END LOOP;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER executions_line_next AFTER UPDATE OF state ON executions FOR EACH ROW
  WHEN (NEW.order_key <> '' AND OLD.state < 3 AND NEW.state >= 3 AND OLD.reason <> 'order') EXECUTE FUNCTION executions_line_next();
