package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// explain turns an error of the network into what a guest may know of it. The
// error's own text is never passed on: it names addresses, resolvers and URLs.
func explain(out *outgoing, err error) error {
	var told *hostfns.Error
	var unresolved *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var proxied *proxyError
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, errRefused):
		return refused(out)
	case errors.As(err, &proxied) && !errors.Is(err, context.Canceled):
		return unproxied(out, proxied)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// The session knows whose deadline it was.
		return context.DeadlineExceeded
	case errors.As(err, &unresolved) && unresolved.IsNotFound:
		return network("%s cannot be resolved: no such host", out)
	case errors.As(err, &unresolved):
		return network("%s cannot be resolved at the moment", out)
	case isTimeout(err):
		return hostfns.Errorf(hostfns.CodeTimeout, "%s: no connection in time", out.origin)
	case errors.As(err, &certificate):
		return network("%s shows a certificate that is not valid for it", out)
	case errors.As(err, &record), errors.As(err, &alert):
		return network("%s does not agree on TLS 1.2 or later", out)
	case errors.Is(err, errHeaders), strings.Contains(err.Error(), "response headers exceeded"):
		// net/http has no value for it.
		return hostfns.Errorf(hostfns.CodeResponseTooLarge, "the headers of the answer of %s are over the limit", out.origin)
	case errors.Is(err, syscall.ECONNREFUSED):
		return network("%s refuses connections", out)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return network("%s ended the connection before its answer was complete", out)
	default:
		return network("the request to %s failed: it gave no valid answer in HTTP", out)
	}
}

func refused(out *outgoing) error {
	if out.origin.scheme == "http" {
		return hostfns.Errorf(hostfns.CodeAddressRefused,
			"%s is at an address for which plain http is refused: use https, or ask the operator for an exception", out.origin)
	}
	return hostfns.Errorf(hostfns.CodeAddressRefused,
		"%s is at an address that guests may not reach: only public ones are; ask the operator for an exception, if it is theirs", out.origin)
}

func network(format string, out *outgoing) error {
	return hostfns.Errorf(hostfns.CodeNetwork, format, out.origin)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
