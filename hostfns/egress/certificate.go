package egress

import (
	"context"
	"crypto/tls"
	"net/http"
)

type certificateKey struct{}

// Present has a request show a client's certificate. It is for Credentials, whose Apply
// is given the request; where the request goes on to in plain http, it is refused.
func Present(r *http.Request, c tls.Certificate) {
	*r = *r.WithContext(context.WithValue(r.Context(), certificateKey{}, &c))
}

// presented is the certificate that a request shows, or nil.
func presented(r *http.Request) *tls.Certificate {
	c, _ := r.Context().Value(certificateKey{}).(*tls.Certificate)
	return c
}
