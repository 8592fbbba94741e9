// Package guestlog takes a guest's log lines, bounded in length and number and
// free of the run's secrets.
//
//	lines := guestlog.New(guestlog.Config{Secrets: secrets, Now: now})
//	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: lines.Funcs(), Now: now})
//	// ... the run ...
//	lines.Lines()
//
// A guest that logs too much is not stopped: logging must not change what a
// program does. What is left out is said in the log itself.
package guestlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/hostfns"
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

// Config configures a Log.
type Config struct {
	// Lines that one run may leave. Defaults to 1000.
	Lines int
	// LineBytes of a message and its fields. Defaults to 8 KiB, which makes
	// 8 MiB of a run's 1000 lines.
	LineBytes int
	// Secrets are taken out of each line. Defaults to none known.
	Secrets *hostfns.Redactor
	// Sink is told each line that is kept, at once, and must not block.
	// Defaults to none.
	Sink func(Line)
	// Now is the clock. It must be set.
	Now func() time.Time
}

// Log keeps the lines of one run. Lines may be read while the run goes on.
type Log struct {
	config Config

	mu    sync.Mutex
	lines []Line
	// full is set once the line that says so is kept.
	full bool
}

// New returns an empty Log. A missing clock is a mistake of the program, and
// panics.
func New(c Config) *Log {
	if c.Now == nil {
		panic("guestlog: Config.Now is not set")
	}
	if c.Lines <= 0 {
		c.Lines = 1000
	}
	if c.LineBytes <= 0 {
		c.LineBytes = 8 << 10
	}
	return &Log{config: c}
}

// Funcs gives log.
func (l *Log) Funcs() []hostfns.Func {
	return []hostfns.Func{{Name: "log", Effect: hostfns.Always(hostfns.Computed), Quiet: true, Answer: l.answer}}
}

// Lines gives what was logged so far.
func (l *Log) Lines() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

type request struct {
	Level   string          `json:"level"`
	Message string          `json:"message"`
	Fields  json.RawMessage `json:"fields"`
}

func (l *Log) answer(ctx context.Context, raw json.RawMessage) (any, error) {
	r, err := hostfns.Decode[request](raw)
	if err != nil {
		return nil, err
	}
	switch r.Level {
	case "debug", "info", "warn", "error":
	default:
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "\"level\" is %.32q: it must be debug, info, warn or error", r.Level)
	}
	fields, err := fieldsOf(r.Fields)
	if err != nil {
		return nil, err
	}
	l.keep(l.fit(Line{
		At: l.config.Now(), Level: r.Level,
		Message: l.config.Secrets.String(r.Message),
		Fields:  l.config.Secrets.JSON(fields),
		Step:    hostfns.Ordinal(ctx),
	}))
	return nil, nil
}

// fieldsOf takes an object, or nothing, or null.
func fieldsOf(raw json.RawMessage) (json.RawMessage, error) {
	var b bytes.Buffer
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if err := json.Compact(&b, raw); err != nil || b.Bytes()[0] != '{' {
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "\"fields\" must be a JSON object")
	}
	return b.Bytes(), nil
}

// fit cuts a line to its limit, and says in it what was cut.
func (l *Log) fit(line Line) Line {
	limit := l.config.LineBytes
	line.Message = strings.ReplaceAll(line.Message, "\x00", "\uFFFD")
	if size := len(line.Message); size > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(line.Message[cut]) {
			cut--
		}
		line.Message = fmt.Sprintf("%s... (cut: %d bytes, and %d is the limit)", line.Message[:cut], size, limit)
	}
	if size := len(line.Fields); size > 0 && len(line.Message)+size > limit {
		line.Message += fmt.Sprintf(" (%d bytes of fields left out: %d is the limit of a line)", size, limit)
		line.Fields = nil
	}
	return line
}

func (l *Log) keep(line Line) {
	l.mu.Lock()
	if l.full {
		l.mu.Unlock()
		return
	}
	if len(l.lines) == l.config.Lines {
		l.full = true
		line.Level, line.Fields = "warn", nil
		line.Message = fmt.Sprintf("further lines are left out: a run keeps %d", l.config.Lines)
	}
	l.lines = append(l.lines, line)
	l.mu.Unlock()
	// Outside the lock: a sink may read Lines.
	if l.config.Sink != nil {
		l.config.Sink(line)
	}
}
