// Package ident makes ids: a prefix that says what a thing is, and 26
// characters that sort by time (a ULID, <https://github.com/ulid/spec>).
package ident

import (
	"crypto/rand"
	"time"

	"github.com/oklog/ulid/v2"
)

// The prefixes.
const (
	Plugin        = "plg_"
	PluginVersion = "plv_"
	Publisher     = "pub_"
	Tenant        = "ten_"
	Installation  = "ins_"
	Connection    = "con_"
	Endpoint      = "end_"
	Event         = "evt_"
	Execution     = "exe_"
	Job           = "job_"
	Token         = "tok_"
	Worker        = "wrk_"
)

// New returns an id made at a time. Ids of one millisecond sort at random.
func New(prefix string, at time.Time) string {
	return prefix + ulid.MustNew(ulid.Timestamp(at), rand.Reader).String()
}
