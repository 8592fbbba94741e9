package oauth

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is how a client proves who it is. It prints as "[redacted]".
type Secret struct {
	// ClientSecret is for client_secret_basic, client_secret_basic_raw and
	// client_secret_post.
	ClientSecret string `json:"client_secret,omitempty"`
	// PrivateKey is PEM: what private_key_jwt and JWTBearer sign with, and what
	// Certificate is for.
	PrivateKey string `json:"private_key,omitempty"`
	// KeyID is the "kid" under which the server knows the key.
	KeyID string `json:"key_id,omitempty"`
	// Certificate is PEM, with its chain: the client shows it in each TLS handshake.
	Certificate string `json:"certificate,omitempty"`
}

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints a Secret.
func (Secret) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// hide is what a verb prints of a secret.
func hide(f fmt.State) {
	_, _ = io.WriteString(f, redacted) // The writer is fmt's own buffer.
}

// String implements fmt.Stringer.
func (Token) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints a Token.
func (Token) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements slog.LogValuer.
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// String implements fmt.Stringer.
func (Flow) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints a Flow's verifier.
func (Flow) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements slog.LogValuer.
func (Flow) LogValue() slog.Value { return slog.StringValue(redacted) }

// String implements fmt.Stringer.
func (Arrived) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints the code.
func (Arrived) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements slog.LogValuer.
func (Arrived) LogValue() slog.Value { return slog.StringValue(redacted) }

// String implements fmt.Stringer.
func (Begun) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints the state.
func (Begun) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements slog.LogValuer.
func (Begun) LogValue() slog.Value { return slog.StringValue(redacted) }

// String implements fmt.Stringer.
func (Device) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints the device code.
func (Device) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements slog.LogValuer.
func (Device) LogValue() slog.Value { return slog.StringValue(redacted) }

// String implements fmt.Stringer.
func (Swap) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints the tokens.
func (Swap) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements slog.LogValuer.
func (Swap) LogValue() slog.Value { return slog.StringValue(redacted) }

// String implements fmt.Stringer.
func (Found) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints the token.
func (Found) Format(f fmt.State, _ rune) { hide(f) }

// LogValue implements slog.LogValuer.
func (Found) LogValue() slog.Value { return slog.StringValue(redacted) }

// LogValue implements slog.LogValuer: a handler that encodes a Registration as JSON
// would not ask its Secret.
func (r Registration) LogValue() slog.Value {
	return slog.GroupValue(slog.String("provider", r.Provider), slog.String("client_id", r.ClientID), slog.String("secret", redacted))
}
