-- +goose Up

-- There is nothing to vacuum here: the number is Postgres's.
SELECT 1;
