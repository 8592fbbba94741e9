package runtime

import "time"

// Facts are what is known of a module since it was prepared.
type Facts struct {
	// ModuleBytes is the size of the module, RewrittenBytes that of what it became
	// when fuel was put in.
	ModuleBytes    int `json:"module_bytes"`
	RewrittenBytes int `json:"rewritten_bytes"`
	// Functions is how many the module defines.
	Functions int `json:"functions"`
	// ImageBytes is the size of the memory that every sandbox begins as.
	ImageBytes int64 `json:"image_bytes"`
	// CompileTime is what compiling took, or loading when it was compiled before;
	// StartTime and StartFuel what starting took.
	CompileTime time.Duration `json:"compile_ns"`
	StartTime   time.Duration `json:"start_ns"`
	StartFuel   int64         `json:"start_fuel"`
	// Fresh says why each call has to start the module anew, or is empty when a
	// sandbox can be reset.
	Fresh string `json:"fresh,omitempty"`
}

// Facts returns what is known of the module.
func (m *Module) Facts() Facts { return m.facts }
