package spectest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// script is one file of commands, as wast2json writes it.
// https://github.com/WebAssembly/wabt/blob/main/docs/wast2json.md
type script struct {
	Commands []command `json:"commands"`
	// name and folder are where it was read from.
	name, folder string
	// older says that it is of a version before what is accepted, so that the
	// original, too, may do what it did not then.
	older bool
}

// The types of commands.
const (
	typeModule         = "module"
	typeRegister       = "register"
	typeAction         = "action"
	typeReturn         = "assert_return"
	typeTrap           = "assert_trap"
	typeExhaustion     = "assert_exhaustion"
	typeInvalid        = "assert_invalid"
	typeMalformed      = "assert_malformed"
	typeUnlinkable     = "assert_unlinkable"
	typeUninstantiable = "assert_uninstantiable"
)

type command struct {
	Type       string  `json:"type"`
	Line       int     `json:"line"`
	Name       string  `json:"name"`
	As         string  `json:"as"`
	Filename   string  `json:"filename"`
	ModuleType string  `json:"module_type"`
	Action     action  `json:"action"`
	Expected   []value `json:"expected"`
}

type action struct {
	Type   string  `json:"type"`
	Module string  `json:"module"`
	Field  string  `json:"field"`
	Args   []value `json:"args"`
}

type value struct {
	Type     string          `json:"type"`
	LaneType string          `json:"lane_type"`
	Value    json.RawMessage `json:"value"`
}

func readScript(path string) (*script, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	s := &script{name: strings.TrimSuffix(filepath.Base(path), ".json"), folder: filepath.Dir(path)}
	s.older = filepath.Base(filepath.Dir(s.folder)) == "v1"
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read script %s: %w", s.name, err)
	}
	return s, nil
}

// invokes says whether the command calls a function.
func (c *command) invokes() bool {
	switch c.Type {
	case typeAction, typeReturn, typeTrap, typeExhaustion:
		return c.Action.Type == "invoke"
	default:
		return false
	}
}

// entangled says whether commands of the script need modules before the last.
func (s *script) entangled() bool {
	for i := range s.Commands {
		if c := &s.Commands[i]; c.Type == typeRegister || c.Action.Module != "" {
			return true
		}
	}
	return false
}

// parameters returns the arguments as wazero takes them.
func (a *action) parameters() ([]uint64, error) {
	var out []uint64
	for _, v := range a.Args {
		words, err := v.words()
		if err != nil {
			return nil, err
		}
		out = append(out, words...)
	}
	return out, nil
}

// words is the value in units of 64 bits.
func (v *value) words() ([]uint64, error) {
	if v.Type != "v128" {
		var text string
		if err := json.Unmarshal(v.Value, &text); err != nil {
			return nil, fmt.Errorf("read %s: %w", v.Type, err)
		}
		word, err := number(v.Type, text)
		return []uint64{word}, err
	}
	var lanes []string
	if err := json.Unmarshal(v.Value, &lanes); err != nil {
		return nil, fmt.Errorf("read v128: %w", err)
	}
	words, bits := make([]uint64, 2), 128/len(lanes)
	for i, lane := range lanes {
		word, err := strconv.ParseUint(lane, 10, bits)
		if err != nil {
			return nil, fmt.Errorf("read a lane of v128: %w", err)
		}
		words[i*bits/64] |= word << (i * bits % 64)
	}
	return words, nil
}

func number(kind, text string) (uint64, error) {
	switch {
	case text == "null":
		return 0, nil
	case kind == "externref":
		// Zero is null to wazero, and a host's object to the suite.
		n, err := strconv.ParseUint(text, 10, 32)
		return n + 1, err
	case strings.HasSuffix(kind, "32"):
		return strconv.ParseUint(text, 10, 32)
	default:
		return strconv.ParseUint(text, 10, 64)
	}
}
