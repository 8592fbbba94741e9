package connector_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

func TestDefineRunsTheWarmUp(t *testing.T) {
	t.Parallel()
	ran := 0
	connector.Define(connector.Connector{Name: "warm", Version: "1.0.0", WarmUp: func() { ran++ }})
	if ran != 1 {
		t.Errorf("ran %d times, want once", ran)
	}
}

func TestAWarmUpThatPanicsIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Define did not panic")
		}
	}()
	connector.Define(connector.Connector{Name: "warm", Version: "1.0.0", WarmUp: func() { panic("cold") }})
}
