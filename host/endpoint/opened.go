package endpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// maxKeys bounds the secrets that count at one time: each is compared with each delivery.
const maxKeys = 4

// Key is a signing secret.
type Key struct {
	Secret string `json:"secret"`
	// Until is when it counts no more; zero for one that was not replaced.
	Until time.Time `json:"until,omitzero"`
}

// Opened is an endpoint with what its deliveries are verified by.
type Opened struct {
	Endpoint
	sealed
}

// sealed is what is stored sealed.
type sealed struct {
	// Keys are the secrets, the newest first.
	Keys []Key `json:"keys,omitempty"`
	// Secret are the parameters that are secret.
	Secret map[string]string `json:"told,omitempty"`
	// AdoptUntil is until when the vendor's handshake may bring the secret, and until when it
	// may be looked at then.
	AdoptUntil time.Time `json:"adopt_until,omitzero"`
}

// Secrets are those that count now.
func (o Opened) Secrets(now time.Time) []string {
	var all []string
	for _, k := range o.Keys {
		if k.Until.IsZero() || now.Before(k.Until) {
			all = append(all, k.Secret)
		}
	}
	return all
}

// Told are all parameters.
func (o Opened) Told() map[string]string {
	all := make(map[string]string, len(o.Parameters)+len(o.Secret))
	maps.Copy(all, o.Parameters)
	maps.Copy(all, o.Secret)
	return all
}

// settled says that there is a secret that was not replaced.
func (s sealed) settled() bool { return len(s.Keys) > 0 && s.Keys[0].Until.IsZero() }

// rotated replaces the newest secret. Those before count until the given time, if that is to
// come.
func (s sealed) rotated(secret string, until, now time.Time) sealed {
	var keys []Key
	if secret != "" {
		keys = append(keys, Key{Secret: secret})
	}
	for _, k := range s.Keys {
		if k.Until.IsZero() || k.Until.After(until) {
			k.Until = until
		}
		if now.Before(k.Until) && k.Secret != secret && len(keys) < maxKeys {
			keys = append(keys, k)
		}
	}
	s.Keys = keys
	return s
}

// format begins what is sealed: a secret that was sealed alone, as all once were, has no
// control characters.
const format = "\x01"

func (s sealed) marshal() ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the signing secrets: %w", err)
	}
	return append([]byte(format), b...), nil
}

func unmarshal(b []byte) (sealed, error) {
	if len(b) == 0 || string(b[:1]) != format {
		return sealed{Keys: []Key{{Secret: string(b)}}}, nil
	}
	var s sealed
	if err := json.Unmarshal(b[1:], &s); err != nil {
		return sealed{}, fmt.Errorf("read the signing secrets: %w", err)
	}
	return s, nil
}
