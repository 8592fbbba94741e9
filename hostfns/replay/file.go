package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

const (
	// MaxFileBytes is how large a file may be: a journal of 32 MiB and a module of
	// 20 MiB, of which base64 and escapes make more.
	MaxFileBytes = 128 << 20
	// version is of the files that are written, and the only one that is read.
	version = 1
	magic   = "cofferdam recording"
)

// document is a Recording in a file.
type document struct {
	Execution  string    `json:"execution,omitempty"`
	Plugin     string    `json:"plugin,omitempty"`
	Version    string    `json:"version,omitempty"`
	Kind       string    `json:"kind,omitempty"`
	Name       string    `json:"name,omitempty"`
	RecordedAt time.Time `json:"recorded_at,omitzero"`
	WallNS     int64     `json:"wall_ns,omitempty"`

	Outcome Outcome  `json:"outcome"`
	Output  Body     `json:"output,omitzero"`
	Error   *Error   `json:"error,omitempty"`
	Fuel    int64    `json:"fuel,omitempty"`
	Left    *Left    `json:"left,omitempty"`
	Missing []string `json:"missing,omitempty"`

	Export  string   `json:"export"`
	Input   Body     `json:"input,omitzero"`
	Granted []string `json:"granted,omitempty"`
	World   world    `json:"world"`
	Entries []entry  `json:"entries,omitempty"`
	Module  []byte   `json:"module,omitempty"`
}

// world is a journal.World whose JSON comes back byte for byte.
type world struct {
	journal.World
	Config     Body `json:"config,omitzero"`
	Cursor     Body `json:"cursor,omitzero"`
	Checkpoint Body `json:"checkpoint,omitzero"`
}

// entry is a journal.Entry in a file.
type entry struct {
	Ordinal  int            `json:"ordinal"`
	Func     string         `json:"func"`
	Effect   string         `json:"effect"`
	Outcome  string         `json:"outcome"`
	Asked    time.Time      `json:"asked,omitzero"`
	Answered time.Time      `json:"answered,omitzero"`
	Resumed  time.Time      `json:"resumed,omitzero"`
	Claim    int64          `json:"claim,omitempty"`
	Again    bool           `json:"again,omitempty"`
	Confirm  bool           `json:"confirm,omitempty"`
	GoesOn   bool           `json:"goes_on,omitempty"`
	Of       int            `json:"of,omitempty"`
	Fuel     int64          `json:"fuel,omitempty"`
	Key      string         `json:"key,omitempty"`
	Account  string         `json:"account,omitempty"`
	Digest   journal.Digest `json:"digest"`
	Request  Body           `json:"request,omitzero"`
	Answer   Body           `json:"answer,omitzero"`
}

// Write writes a Recording as a file: the line
//
//	cofferdam recording 1 sha256:...
//
// with the digest of what follows, which is one JSON document with a line for each
// of its fields, and one for each entry. Equal Recordings give equal files. See
// [Body] for how bytes are written.
func Write(w io.Writer, r Recording) error {
	if err := r.Check(); err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	doc, err := lines(documentOf(r))
	if err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	head := fmt.Sprintf("%s %d %s\n", magic, version, DigestOf(doc))
	if size := len(head) + len(doc); size > MaxFileBytes {
		return fmt.Errorf("write recording: it would have %d bytes, and %d is the limit: leave the module out", size, MaxFileBytes)
	}
	for _, part := range [][]byte{[]byte(head), doc} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write recording: %w", err)
		}
	}
	return nil
}

// Read reads a file. Its error says what is wrong with one that is none, or not
// whole, or not as it was written, or of another version.
func Read(r io.Reader) (Recording, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return Recording{}, fmt.Errorf("read recording: %w", err)
	}
	recording, err := parse(data)
	if err != nil {
		return Recording{}, fmt.Errorf("read recording: %w", err)
	}
	return recording, nil
}

func parse(data []byte) (Recording, error) {
	if len(data) > MaxFileBytes {
		return Recording{}, fmt.Errorf("it has more than %d bytes, which is the limit", MaxFileBytes)
	}
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	if err := checkHead(string(line), rest); err != nil {
		return Recording{}, err
	}
	var d document
	if err := decode(rest, &d); err != nil {
		return Recording{}, fmt.Errorf("after its first line: %w: it was written by another version of cofferdam: use that one, or export it again", err)
	}
	recording, err := d.recording()
	if err != nil {
		return Recording{}, err
	}
	return recording, recording.Check()
}

// checkHead says what is wrong with a file as far as its first line tells.
func checkHead(line string, rest []byte) error {
	const export = "'cofferdam execution export' writes one"
	words := strings.Fields(strings.TrimPrefix(line, magic))
	switch {
	case line == "":
		return errors.New("it is empty: " + export)
	case !strings.HasPrefix(line, magic+" ") || len(words) != 2:
		return fmt.Errorf("it begins with %.40q, and not with %q, a version and a digest: %s", line, magic, export)
	}
	n, err := strconv.Atoi(words[0])
	if err != nil {
		return fmt.Errorf("its version is %.40q, which is no number: %s", words[0], export)
	}
	if n != version {
		return fmt.Errorf("its version is %d, and this program reads version %d: use the cofferdam that wrote it, or export it again", n, version)
	}
	said, err := digestBytes(words[1])
	if err != nil {
		return fmt.Errorf("its digest: %w", err)
	}
	if sum := sha256.Sum256(rest); !bytes.Equal(sum[:], said) {
		return fmt.Errorf("%s: its first line says %s, and what follows has sha256:%s", altered(line, rest), words[1], hex.EncodeToString(sum[:]))
	}
	return nil
}

// altered guesses why a file is not what was written.
func altered(line string, rest []byte) string {
	switch {
	case strings.HasSuffix(line, "\r") || bytes.HasSuffix(rest, []byte("\r\n")):
		return "its lines end in CR LF, which git or an editor has made of LF: put '*.bhx -text' into .gitattributes, and export it again"
	case !bytes.HasSuffix(rest, []byte("}\n")):
		return "it is cut off: copy or export it again"
	default:
		return "it was altered after it was written: export it again"
	}
}

// lines writes each field of a document on a line of its own, and each entry too.
func lines(d document) ([]byte, error) {
	var b bytes.Buffer
	v := reflect.ValueOf(d)
	separator := "{\n"
	for i := range v.NumField() {
		name, omit, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if omit != "" && v.Field(i).IsZero() {
			continue
		}
		b.WriteString(separator + strconv.Quote(name) + ": ")
		separator = ",\n"
		if name == "entries" {
			if err := entryLines(&b, d.Entries); err != nil {
				return nil, err
			}
			continue
		}
		if err := appendLine(&b, v.Field(i).Interface()); err != nil {
			return nil, fmt.Errorf("encode %s: %w", name, err)
		}
	}
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

func entryLines(b *bytes.Buffer, entries []entry) error {
	separator := "[\n  "
	for _, e := range entries {
		b.WriteString(separator)
		separator = ",\n  "
		if err := appendLine(b, e); err != nil {
			return fmt.Errorf("encode entry %d: %w", e.Ordinal, err)
		}
	}
	b.WriteString("\n]")
	return nil
}

func appendLine(b *bytes.Buffer, v any) error {
	line, err := encode(v)
	b.Write(line)
	return err
}

func documentOf(r Recording) document {
	d := document{
		Execution: r.Execution, Plugin: r.Plugin, Version: r.Version, Kind: r.Kind, Name: r.Name,
		RecordedAt: r.RecordedAt.UTC(), WallNS: r.Wall.Nanoseconds(),
		Outcome: r.Outcome, Output: r.Output, Error: r.Error, Fuel: r.Fuel, Left: r.Left, Missing: r.Missing,
		Export: r.Export, Input: r.Input, Granted: r.Granted, Module: r.Module,
		World: world{World: r.World, Config: Body(r.World.Config), Cursor: Body(r.World.Cursor), Checkpoint: Body(r.World.Checkpoint)},
	}
	d.World.Start = r.World.Start.UTC()
	for i := range r.Entries {
		e := &r.Entries[i]
		d.Entries = append(d.Entries, entry{
			Ordinal: e.Ordinal, Func: e.Func, Effect: e.Effect.String(), Outcome: e.Outcome.String(),
			Asked: e.Asked.UTC(), Answered: e.Answered.UTC(), Resumed: e.Resumed.UTC(),
			Claim: e.Claim, Again: e.Again, Confirm: e.Confirm, GoesOn: e.GoesOn, Of: e.Of, Fuel: e.Fuel, Key: e.Key, Account: e.Account,
			Digest: e.Digest, Request: e.Request, Answer: Body(e.Answer),
		})
	}
	return d
}

func (d document) recording() (Recording, error) {
	r := Recording{
		Execution: d.Execution, Plugin: d.Plugin, Version: d.Version, Kind: d.Kind, Name: d.Name,
		RecordedAt: d.RecordedAt, Wall: time.Duration(d.WallNS),
		Outcome: d.Outcome, Output: d.Output, Error: d.Error, Fuel: d.Fuel, Left: d.Left, Missing: d.Missing,
		Export: d.Export, Input: d.Input, Granted: d.Granted, World: d.World.World, Module: d.Module,
	}
	r.World.Config, r.World.Cursor, r.World.Checkpoint = rawOf(d.World.Config), rawOf(d.World.Cursor), rawOf(d.World.Checkpoint)
	for i := range d.Entries {
		e, err := d.Entries[i].entry()
		if err != nil {
			return r, fmt.Errorf("entry %d: %w", i, err)
		}
		r.Entries = append(r.Entries, e)
	}
	return r, nil
}

func (e entry) entry() (journal.Entry, error) {
	effect, err := named(e.Effect, hostfns.Computed, hostfns.Read, hostfns.Idempotent, hostfns.Unsafe)
	if err != nil {
		return journal.Entry{}, fmt.Errorf("its effect: %w", err)
	}
	outcome, err := named(e.Outcome, hostfns.Unknown, hostfns.Done, hostfns.NotDone)
	if err != nil {
		return journal.Entry{}, fmt.Errorf("its outcome: %w", err)
	}
	return journal.Entry{
		Ordinal: e.Ordinal, Func: e.Func, Effect: effect, Outcome: outcome,
		Asked: e.Asked, Answered: e.Answered, Resumed: e.Resumed,
		Claim: e.Claim, Again: e.Again, Confirm: e.Confirm, GoesOn: e.GoesOn, Of: e.Of, Fuel: e.Fuel, Key: e.Key, Account: e.Account,
		Digest: e.Digest, Request: e.Request, Answer: rawOf(e.Answer),
	}, nil
}

// rawOf keeps what is not there from being there as no bytes.
func rawOf(b Body) []byte { return b }

// named finds the one of values that a file means.
func named[T fmt.Stringer](name string, values ...T) (T, error) {
	var known []string
	for _, v := range values {
		if v.String() == name {
			return v, nil
		}
		known = append(known, v.String())
	}
	return values[0], fmt.Errorf("%.32q is none of %s", name, strings.Join(known, ", "))
}
