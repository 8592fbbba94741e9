package authorization

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// Access is a token that can be used now. It prints as "[redacted]".
type Access struct {
	Token string
	// Use is how the API takes it, and Hosts where it may be sent.
	Use   provider.TokenUse
	Hosts []string
	// ID names the token for Refused and Worked: a hash, which tells nothing of it.
	ID string
}

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (Access) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints an Access.
func (Access) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // The writer is fmt's own buffer.
}

// LogValue implements slog.LogValuer.
func (Access) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements json.Marshaler: a token is nobody's to write down.
func (Access) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
