package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// World is what the runs of an execution can observe of the universe without
// asking. The first run pins it, so that each further one does as the first did.
type World struct {
	// Model is the version of what the rest is computed by: the random generator, the
	// clock, the ABI and the costs of fuel. Fuel is compared within one Model only.
	Model int `json:"model"`
	// Module and Image are sha256 digests, as "sha256:...", of the plugin and of its
	// memory as every call begins with it; Image is empty for a plugin without one.
	Module string `json:"module"`
	Image  string `json:"image,omitempty"`
	Seed   Seed   `json:"seed"`
	// Start is what the guest's clock shows if nothing moves it.
	Start time.Time `json:"start"`
	// Config is the installation's configuration, and Connections what the guest is
	// told of the connections that it was granted: each one's fields by its name.
	Config      json.RawMessage `json:"config,omitempty"`
	Connections Granted         `json:"connections,omitempty"`
	Limits      runtime.Limits  `json:"limits"`
	// Attempt, Cursor and Checkpoint are as the input of the guest has them.
	Attempt    int             `json:"attempt"`
	Cursor     json.RawMessage `json:"cursor,omitempty"`
	Checkpoint json.RawMessage `json:"checkpoint,omitempty"`
	// Restarts is how often the execution was made from its start again.
	Restarts int `json:"restarts,omitempty"`
	// Redriven says that a person has given it another chance, so that its plugin,
	// configuration or grants may not be those with which its entries were made.
	Redriven bool `json:"redriven,omitempty"`
	// Forced says that what was done may be done again, from the start.
	Forced bool `json:"forced,omitempty"`
	// Generation is how often it has gone on from a checkpoint.
	Generation int `json:"generation,omitempty"`
	// Keys are the idempotency keys of entries that were dropped: one of them is never
	// sent with another request.
	Keys []UsedKey `json:"keys,omitempty"`
}

// Granted is the fields of connections by their names. None is written as {}.
type Granted map[string]json.RawMessage

// MarshalJSON implements json.Marshaler.
func (g Granted) MarshalJSON() ([]byte, error) {
	all := make(map[string]json.RawMessage, len(g))
	for name, fields := range g {
		all[name] = fields
		if len(fields) == 0 {
			all[name] = json.RawMessage(`{}`)
		}
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads a list of names, too, which is what earlier servers have written.
func (g *Granted) UnmarshalJSON(data []byte) error {
	var names []string
	if json.Unmarshal(data, &names) != nil {
		return json.Unmarshal(data, (*map[string]json.RawMessage)(g))
	}
	*g = make(Granted, len(names))
	for _, name := range names {
		(*g)[name] = json.RawMessage(`{}`)
	}
	return nil
}

// UsedKey is an idempotency key that was sent, and what it was sent with.
type UsedKey struct {
	Key    string `json:"key"`
	Digest Digest `json:"digest"`
	// Account is whose account at the other side it was sent to; empty for none.
	Account string `json:"account,omitempty"`
	// Asked is when it was sent first, from which its time to live counts.
	Asked time.Time `json:"asked"`
}

// Seed feeds an execution's random stream.
type Seed [32]byte

// Next is the world of what goes on from a checkpoint: a fresh journal, and a random
// stream of its own. Names that a guest makes of it would come again otherwise, and what
// is meant to be another would be taken for what was done before.
func (w World) Next(checkpoint json.RawMessage) World {
	w.Checkpoint, w.Keys, w.Forced, w.Restarts = checkpoint, nil, false, 0
	w.Seed = sha256.Sum256(append([]byte("checkpoint"), w.Seed[:]...))
	w.Generation++
	return w
}

// MarshalText implements encoding.TextMarshaler.
func (s Seed) MarshalText() ([]byte, error) { return hexText(s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Seed) UnmarshalText(text []byte) error { return fromHex(s[:], "seed", text) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return hexText(d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error { return fromHex(d[:], "digest", text) }

func hexText(b []byte) []byte { return hex.AppendEncode(nil, b) }

func fromHex(to []byte, what string, text []byte) error {
	if len(text) != hex.EncodedLen(len(to)) {
		return fmt.Errorf("read %s: it has %d characters, and %d is right", what, len(text), hex.EncodedLen(len(to)))
	}
	if _, err := hex.Decode(to, text); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
