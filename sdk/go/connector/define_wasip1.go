//go:build wasip1

package connector

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/cofferdam-run/cofferdam/sdk/go/internal/abi"
)

// defined is the program's connector. The exports are functions without a
// receiver that the host calls by name, so it can be nowhere else.
var defined *Connector //nolint:gochecknoglobals // See above; Define sets it once, before any export is called.

func define(c Connector) {
	if defined != nil {
		panic("connector.Define was called twice: a program is one connector")
	}
	defined = &c
}

//go:wasmexport describe
func exportDescribe() int32 { return serve("describe") }

//go:wasmexport action
func exportAction() int32 { return serve("action") }

//go:wasmexport webhook
func exportWebhook() int32 { return serve("webhook") }

//go:wasmexport poll
func exportPoll() int32 { return serve("poll") }

//go:wasmexport test
func exportTest() int32 { return serve("test") }

//go:wasmexport confirm
func exportConfirm() int32 { return serve("confirm") }

//go:wasmexport verify
func exportVerify() int32 { return serve("verify") }

//go:wasmexport warmup
func exportWarmUp() (result int32) {
	defer func() {
		if p := recover(); p != nil {
			abi.SetError(fmt.Appendf(nil, "the connector's WarmUp panicked: %v\n%s", p, debug.Stack()))
			result = 1
		}
	}()
	if defined != nil {
		defined.warmUp()
	}
	return 0
}

// serve answers one call of the host; 0 is success.
func serve(export string) int32 {
	if defined == nil {
		abi.SetError([]byte("this program has no connector: call connector.Define in a package variable of package main"))
		return 1
	}
	output, err := defined.Call(sandbox{}, export, abi.Input())
	if err == nil {
		abi.SetOutput(output)
		return 0
	}
	failure := []byte(err.Error())
	var e *Error
	if errors.As(err, &e) {
		if encoded, err := json.Marshal(e); err == nil {
			failure = encoded
		}
	}
	abi.SetError(failure)
	return 1
}

// sandbox is the real Host.
type sandbox struct{}

func (sandbox) Call(function string, request []byte) []byte { return abi.Call(function, request) }

func (sandbox) Sign(request []byte) []byte { return abi.Sign(request) }

func (sandbox) Stream(function string, request []byte) []byte { return abi.Stream(function, request) }

func (sandbox) Random(p []byte) { abi.Random(p) }
