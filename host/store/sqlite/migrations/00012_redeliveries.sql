-- +goose Up

-- The job that has made an execution of an event that had been accepted before, and the
-- execution that was the event's latest until then.
ALTER TABLE executions ADD COLUMN redelivery TEXT NOT NULL DEFAULT '';
ALTER TABLE executions ADD COLUMN follows TEXT NOT NULL DEFAULT '';
