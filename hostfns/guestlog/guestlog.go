// Package guestlog takes a guest's log lines.
package guestlog

import (
	"encoding/json"
	"time"
)

// Line is one line of a guest's log.
type Line struct {
	At      time.Time       `json:"at"`
	Level   string          `json:"level"`
	Message string          `json:"message"`
	Fields  json.RawMessage `json:"fields,omitempty"`
	// Step is the ordinal of the crossing that carried it.
	Step int `json:"step"`
}
