-- +goose Up

-- Payloads of the tenants that there are were stored as they are, until a rotation of
-- their key has sealed them. Those of tenants that come later are all sealed.
ALTER TABLE tenants ADD COLUMN payloads_sealed BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE tenants ALTER COLUMN payloads_sealed SET DEFAULT TRUE;
