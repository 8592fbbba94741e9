package sign_test

import (
	"fmt"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// TestManifestsNameTheAlgorithmsThatThereAre: each is one of exactly one type of
// connection.
func TestManifestsNameTheAlgorithmsThatThereAre(t *testing.T) {
	t.Parallel()
	for _, algorithm := range sign.Algorithms() {
		var types []string
		for _, kind := range []string{"bearer", "hmac", "private_key", "aws_sigv4", "client_certificate"} {
			doc := fmt.Sprintf(`{"name":"a","version":"1.0.0","connections":[{"name":"c","type":%q,"hosts":["a.example"],"sign":[%q]}]}`, kind, algorithm)
			if m, err := manifest.Parse([]byte(doc)); err == nil && len(m.Signs()["c"]) == 1 {
				types = append(types, kind)
			}
		}
		if len(types) != 1 {
			t.Errorf("%s: got the types %v, want one", algorithm, types)
		}
	}
}
