package hostfns_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

func TestDecodeLeavesRoomForWhatHoldsTheValue(t *testing.T) {
	t.Parallel()
	type shape struct {
		Value json.RawMessage `json:"value"`
	}
	of := func(levels int) json.RawMessage {
		return json.RawMessage(`{"value":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}`)
	}
	got, err := hostfns.Decode[shape](of(9900))
	if err != nil {
		t.Fatalf("9900 levels: %v", err)
	}
	// As a trace holds it.
	doc, err := json.Marshal(map[string]any{"attempts": []any{map[string]any{"state": []any{got}}}})
	if err != nil || !json.Valid(doc) {
		t.Errorf("what was let in cannot be kept: %v", err)
	}
	var told *hostfns.Error
	if _, err := hostfns.Decode[shape](of(9990)); !errors.As(err, &told) || told.Code != hostfns.CodeInvalidRequest || !strings.Contains(told.Message, "levels") {
		t.Errorf("9990 levels: got %v", err)
	}
	wide := json.RawMessage(`{"value":[` + strings.Repeat("{},", 10_000) + `{}]}`)
	if _, err := hostfns.Decode[shape](wide); err != nil {
		t.Errorf("10,001 objects side by side: %v", err)
	}
}
