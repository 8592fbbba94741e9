package compile

import (
	"runtime/debug"
	"time"
)

// protocol is the version of what parent and child say to each other, and of
// RuntimeConfig: raise it with either.
const protocol = 1

// Verb is the hidden verb of cofferdam that runs Work.
const Verb = "compile"

// order is what the parent asks for, in JSON as the child's only argument. The
// module follows on standard input.
type order struct {
	Protocol int `json:"protocol"`
	// Engine is the engine whose files the parent can load.
	Engine string `json:"engine"`
	// Dir is an empty folder for the engine's cache.
	Dir string `json:"dir"`
	// ModuleBytes is how long the module is.
	ModuleBytes int           `json:"module_bytes"`
	CPU         time.Duration `json:"cpu_ns"`
	Memory      int64         `json:"memory_bytes"`
	Code        int64         `json:"code_bytes"`
}

// result is the child's answer, one line of JSON on standard output.
type result struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
	Engine   string `json:"engine"`
	// Outcome is one of the outcome constants.
	Outcome string `json:"outcome"`
	// Limit is which one was hit, of outcomeCost.
	Limit   Limit  `json:"limit,omitempty"`
	Message string `json:"message,omitempty"`
}

const (
	outcomeDone = "done"
	// outcomeCost is a *CostError.
	outcomeCost = "cost"
	// outcomeModule is a *ModuleError.
	outcomeModule = "module"
	// outcomeOther is a child that the module is not for.
	outcomeOther = "other_engine"
	// outcomeFailed is a fault of the child's surroundings.
	outcomeFailed = "failed"
)

// maxMessageBytes bounds what a module can make the compiler say.
const maxMessageBytes = 2 << 10

// version is that of the Cofferdam in this binary, for messages: engines decide.
func version() string {
	const module = "github.com/cofferdam-run/cofferdam"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	found := info.Main.Version
	for _, d := range info.Deps {
		if d.Path == module {
			found = d.Version
		}
	}
	if found == "" || found == "(devel)" {
		return "devel"
	}
	return found
}
