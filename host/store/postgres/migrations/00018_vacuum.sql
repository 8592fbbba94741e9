-- +goose Up

-- A vacuum goes through all indexes of a table, however few rows are dead, and takes as
-- long as those are large: at a fiftieth it came every half minute in a table of two
-- million that a redelivery changed, and took, with its analysis, a fifth of that time. What is claimed and
-- what runs is found without it: the indexes of those drop their dead entries themselves.
-- The delay, of 2 ms if nothing is said, has it leave the processors to others.
ALTER TABLE executions SET (
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_cost_delay = 10,
  autovacuum_analyze_scale_factor = 0.1
);
