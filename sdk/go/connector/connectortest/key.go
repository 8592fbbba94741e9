package connectortest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// idempotency is as a manifest has it.
type idempotency struct {
	Host   string `json:"host"`
	Header string `json:"header"`
}

// putKey sets the idempotency key that the manifest asks for.
func (c *call) putKey(r httpRequest, request *http.Request, body []byte) *failure {
	i := slices.IndexFunc(c.host.manifest.Idempotency, func(d idempotency) bool { return c.host.matches(d.Host, request.URL) })
	switch {
	case r.IdempotencyKey != "" && isRead(r.Method):
		return refuse(code.InvalidRequest, "an idempotency key is for requests that change something, and this is a %s", r.Method)
	case r.IdempotencyKey != "" && i < 0:
		return refuse(code.InvalidRequest, "the manifest names no idempotency for %s", request.URL.Host)
	case i < 0:
		return nil
	}
	header := c.host.manifest.Idempotency[i].Header
	if request.Header.Get(header) != "" {
		return refuse(code.InvalidRequest, "the header %s is set by the host: use IdempotencyKey", header)
	}
	if isRead(r.Method) || r.IdempotencyKey == "" && (r.Method == http.MethodPut || r.Method == http.MethodDelete) {
		return nil
	}
	digest := sha256.Sum256(slices.Concat([]byte(strings.ToUpper(r.Method)+"\n"+request.URL.String()+"\n"), body))
	name := r.IdempotencyKey
	if name == "" {
		name = "h-" + hex.EncodeToString(digest[:16])
		c.sent[name]++
		name = fmt.Sprintf("%s-%d", name, c.sent[name])
	}
	if before, used := c.named[name]; used && before != digest {
		return refuse(code.InvalidRequest, "this call has used the idempotency key %q with another request", name)
	}
	c.named[name] = digest
	request.Header.Set(header, c.execution()+"/"+name)
	return nil
}

func isRead(method string) bool {
	return slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, method)
}
