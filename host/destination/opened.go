package destination

import (
	"encoding/json"
	"fmt"
	"time"
)

// maxKeys bounds the secrets that sign at one time: each is a signature in the header.
const maxKeys = 4

// Key is a signing secret.
type Key struct {
	Secret string `json:"secret"`
	// Until is when it signs no more; zero for the one that was not replaced.
	Until time.Time `json:"until,omitzero"`
}

// Opened is a destination with what messages to it are signed with.
type Opened struct {
	Destination
	// Keys are the secrets, the newest first.
	Keys []Key
}

// Secrets are those that sign now.
func (o Opened) Secrets(now time.Time) []string {
	var all []string
	for _, k := range o.Keys {
		if k.Until.IsZero() || now.Before(k.Until) {
			all = append(all, k.Secret)
		}
	}
	return all
}

// rotated replaces the newest secret. Those before sign along until a time.
func rotated(was []Key, secret string, until, now time.Time) []Key {
	keys := []Key{{Secret: secret}}
	for _, k := range was {
		if k.Until.IsZero() || k.Until.After(until) {
			k.Until = until
		}
		if now.Before(k.Until) && k.Secret != secret && len(keys) < maxKeys {
			keys = append(keys, k)
		}
	}
	return keys
}

// sealed is what is stored sealed.
type sealed struct {
	Keys []Key `json:"keys"`
}

func marshal(keys []Key) ([]byte, error) {
	b, err := json.Marshal(sealed{keys})
	if err != nil {
		return nil, fmt.Errorf("write the signing secrets: %w", err)
	}
	return b, nil
}

func unmarshal(b []byte) ([]Key, error) {
	var s sealed
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read the signing secrets: %w", err)
	}
	return s.Keys, nil
}
