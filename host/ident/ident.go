// Package ident makes ids: a prefix that says what a thing is, and 26
// characters that sort by time (a ULID, <https://github.com/ulid/spec>).
package ident

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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
	App           = "app_"
	Notice        = "not_"
	Schedule      = "sch_"
	Destination   = "dst_"
	Delivery      = "dlv_"
	// ConnectSession is that of a user's visit to connect an account.
	ConnectSession = "cse_"
)

// New returns an id made at a time. Ids of one millisecond sort at random.
func New(prefix string, at time.Time) string {
	return prefix + ulid.MustNew(ulid.Timestamp(at), rand.Reader).String()
}

// Bound is before all ids of a prefix that are made at a time or later, to the
// millisecond, and after those that were made before.
func Bound(prefix string, at time.Time) string {
	var id ulid.ULID
	if err := id.SetTime(ulid.Timestamp(at)); err != nil {
		return prefix + "~" // Later than any id can be.
	}
	return prefix + id.String()
}

// tick is the time in which the ids that are derived from others sort at random.
const tick = 16 * time.Millisecond

// Derive returns the id of what follows from another id and from parts, made at a time:
// the same each time that it is asked for, and no others'. Those of one time sort as what
// they follow from, to 16 ms, if that is of the two years before, so that rows that are
// written one after the other lie together in a database's index. (Of a thousand that
// follow from ids of one such tick, two are the same with a probability of 1 in 2^29.)
func Derive(prefix string, at time.Time, from string, parts ...string) string {
	h := sha256.New()
	for _, p := range append([]string{from}, parts...) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // A hash takes everything.
	}
	made, _ := Time(from)
	// Others' clocks may be ahead. What is left of a negative number sorts as it does.
	since := made.Sub(at.Add(time.Minute))
	rest := binary.BigEndian.AppendUint32(nil, uint32(since/tick))
	return prefix + ulid.MustNew(ulid.Timestamp(at), bytes.NewReader(h.Sum(rest))).String()
}

// Time is when an id was made, to the millisecond; false if it is none.
func Time(id string) (time.Time, bool) {
	const prefix = 4
	if len(id) < prefix {
		return time.Time{}, false
	}
	u, err := ulid.ParseStrict(id[prefix:])
	return ulid.Time(u.Time()).UTC(), err == nil
}
