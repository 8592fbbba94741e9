//go:build unix

package egress

import (
	"errors"
	"net"
	"syscall"
)

// canProbe says that quietly can tell.
const canProbe = true

// quietly says whether a connection is open and nothing has come on it: a server that
// has closed it has sent its end, and one that says something unasked is not to be
// listened to.
func quietly(c net.Conn) bool {
	// A tunnel may be in TLS with a proxy.
	if outer, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = outer.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, peeked = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && (errors.Is(peeked, syscall.EAGAIN) || errors.Is(peeked, syscall.EWOULDBLOCK))
}
