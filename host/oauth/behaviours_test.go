package oauth_test

import (
	"maps"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/oauth/oauthtest"
)

func TestBehaviours(t *testing.T) {
	t.Parallel()
	all := map[string]func(*testing.T){}
	for _, of := range []map[string]func(*testing.T){
		rfc6749(), rfc7636(), rfc8414(), rfc9207(), rfc9700(), rfc8628(), rfc7523(), tokensOf(), rfc6819(),
	} {
		maps.Copy(all, of)
	}
	oauthtest.Run(t, oauthtest.Client, all)
}
