package golden

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
)

// Signature is something that is signed, and what is answered.
type Signature struct {
	// Request is what must be asked; what is left out of it may be anything.
	Request map[string]json.RawMessage `json:"request,omitempty"`
	// Result or Error is answered. Defaults to the signature of the connection's key,
	// which for a test is always the same.
	Result json.RawMessage `json:"result,omitempty"`
	Error  *replay.Error   `json:"error,omitempty"`
}

func (t *Test) checkSignatures() error {
	for i, s := range t.Sign {
		if s.Result != nil && s.Error != nil {
			return fmt.Errorf("sign[%d] has a result and an error: give one", i)
		}
	}
	return nil
}

// sign answers the function sign: as the test declares, or else as next does, which has
// the connections' keys. Rules hold for both.
func (w *world) sign(ctx context.Context, request json.RawMessage, next trial.Answer) (any, error) {
	n := len(w.signed)
	w.signed = append(w.signed, bytes.Clone(request))
	if w.signatures != nil && n >= len(w.signatures) && !w.lenient {
		w.differs(fmt.Sprintf("signature %d is not among those of the test's sign", n+1), "", pretty(request))
		return nil, hostfns.Errorf(hostfns.CodeInternal, "the test has no signature %d", n+1)
	}
	var s Signature
	if n < len(w.signatures) {
		s = w.signatures[n]
	}
	if asked := shownSignature(request, s.Request); !w.lenient && !sameValue(s.Request, asked) {
		w.differs(fmt.Sprintf("signature %d differs", n+1), pretty(s.Request), pretty(asked))
		return nil, hostfns.Errorf(hostfns.CodeInternal, "the test has another signature %d", n+1)
	}
	if s.Error != nil {
		return nil, hostfns.Errorf(hostfns.Code(s.Error.Code), "%s", s.Error.Message)
	}
	var asked struct{ Algorithm string }
	_ = json.Unmarshal(request, &asked) // What is no request is next's to refuse.
	w.algorithm = asked.Algorithm
	made, err := next(ctx, request)
	if err != nil || s.Result == nil {
		return made, err
	}
	return s.Result, nil
}

// shownSignature is a request as far as another one says something of it.
func shownSignature(request json.RawMessage, like map[string]json.RawMessage) map[string]json.RawMessage {
	var all map[string]json.RawMessage
	if like == nil || json.Unmarshal(request, &all) != nil {
		return nil
	}
	shown := map[string]json.RawMessage{}
	for name := range like {
		if value, there := all[name]; there {
			shown[name] = value
		}
	}
	return shown
}

// recorded is what was signed, as a test has it: the answers are its own still.
func (w *world) recorded() []Signature {
	var all []Signature
	for i, request := range w.signed {
		var s Signature
		if i < len(w.signatures) {
			s = w.signatures[i]
		}
		if s.Request == nil {
			if json.Unmarshal(request, &s.Request) != nil {
				continue // It has been refused.
			}
		} else {
			s.Request = shownSignature(request, s.Request)
		}
		all = append(all, s)
	}
	return all
}

// Key implements sign.Keys. A private key that the test does not give is one for the
// algorithm that is asked for, and signs the same in the same way.
func (c credentials) Key(ctx context.Context, name string) (sign.Key, error) {
	keys, ok := c.Credentials.(sign.Keys)
	if !ok {
		return sign.Key{}, fmt.Errorf("%w: give the test a connection", sign.ErrNoConnection)
	}
	key, err := keys.Key(ctx, name)
	if err != nil || key.Private == nil {
		return key, err
	}
	if !c.given[name] {
		if own, err := trial.TestKey(c.world.algorithm); err == nil {
			key.Private = own
		}
	}
	key.Private = steady{key.Private}
	return key, nil
}

// steady signs without randomness: https://www.rfc-editor.org/rfc/rfc6979.
type steady struct{ crypto.Signer }

// Sign implements crypto.Signer.
func (s steady) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.Signer.Sign(nil, digest, opts)
}

var (
	_ sign.Keys       = credentials{}
	_ egress.Accounts = credentials{}
)
