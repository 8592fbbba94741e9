package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const paceFields = `tenant, connection, rate, paused_at, next_at, turns_at, state, opened_at, retry_at, opens, why, probe_until`

// awaitsPace are executions that wait for the pace of a connection, as the index on them
// has it.
const awaitsPace = `state = 2 AND reason IN ('rate_limited', 'circuit_open', 'connection_paused')`

// Pace implements pace.Store.
func (s *SQL) Pace(ctx context.Context, tenant, connection string) (pace.Pace, error) {
	none := fault.NotFound("pace of connection", connection)
	p, err := find(ctx, s, none, s.scanPace, `SELECT `+paceFields+` FROM paces WHERE tenant = $1 AND connection = $2`, tenant, connection)
	if errors.Is(err, none) {
		return pace.Pace{Tenant: tenant, Connection: connection, Breaker: pace.Breaker{State: pace.Closed}, At: s.d.Clock()}, nil
	}
	return p, err
}

// Paces implements pace.Store.
func (s *SQL) Paces(ctx context.Context, tenant string) ([]pace.Pace, error) {
	return list(ctx, s, s.scanPace, `SELECT `+paceFields+` FROM paces WHERE tenant = $1 ORDER BY connection`, tenant)
}

// What a lease comes to. A token is there at first, or as much earlier as the burst lets
// it be, and n are until the last that is asked for.
const (
	atFirst = `(CASE WHEN next_at > $3 THEN next_at ELSE $3 END)`
	granted = `(CASE WHEN ` + atFirst + ` > $4 THEN 0 WHEN ($4 - ` + atFirst + `) / $5 + 1 < $6 THEN ($4 - ` + atFirst + `) / $5 + 1 ELSE $6 END)`
)

// staleTurns is how long tokens are there that nobody takes before turns that were given
// are those of executions that do not come any more.
const staleTurns = 2 * time.Second

// TakeTokens implements pace.Store.
func (s *SQL) TakeTokens(ctx context.Context, a pace.Ask) (pace.Taken, error) {
	interval := max(a.Interval.Microseconds(), 1)
	var got pace.Taken
	err := s.paced(ctx, "lease tokens", a.Tenant, a.Connection, func(ctx context.Context, tx Conn) error {
		now := column.Micros(s.d.Clock())
		row := tx.QueryRowContext(ctx,
			`UPDATE paces SET taken = `+granted+`, next_at = `+atFirst+` + `+granted+` * $5,
			   turns_at = CASE WHEN next_at < $7 THEN 0 ELSE turns_at END
			 WHERE tenant = $1 AND connection = $2 RETURNING taken, `+paceFields,
			a.Tenant, a.Connection, now+a.Lead.Microseconds()-int64(a.Burst-1)*interval, now+a.Ahead.Microseconds(), interval, int64(a.N),
			now-max(4*interval, staleTurns.Microseconds()))
		var err error
		got.Pace, err = s.scanPace(more{row, &got.N})
		got.Pace.At = column.Time(now)
		got.First = got.Pace.Next.Add(-time.Duration(int64(got.N)*interval) * time.Microsecond)
		return err
	})
	return got, err
}

// more is a row that begins with further columns.
type more struct {
	scanner
	first any
}

// Scan implements scanner.
func (m more) Scan(dest ...any) error { return m.scanner.Scan(append([]any{m.first}, dest...)...) }

// GiveTurn implements pace.Store.
func (s *SQL) GiveTurn(ctx context.Context, tenant, connection string, interval time.Duration) (time.Time, error) {
	var turn time.Time
	err := s.paced(ctx, "give a turn", tenant, connection, func(ctx context.Context, tx Conn) error {
		var next int64
		err := tx.QueryRowContext(ctx,
			`UPDATE paces SET turns_at = (CASE WHEN turns_at >= next_at AND turns_at >= $3 THEN turns_at WHEN next_at >= $3 THEN next_at ELSE $3 END) + $4
			 WHERE tenant = $1 AND connection = $2 RETURNING turns_at`,
			tenant, connection, column.Micros(s.d.Clock()), interval.Microseconds()).Scan(&next)
		turn = column.Time(next).Add(-interval)
		return err
	})
	return turn, err
}

// HoldOff implements pace.Store.
func (s *SQL) HoldOff(ctx context.Context, tenant, connection string, d time.Duration) error {
	until := column.Micros(s.d.Clock().Add(d))
	_, err := s.exec(ctx, "hold tokens back",
		`UPDATE paces SET next_at = $3 WHERE tenant = $1 AND connection = $2 AND next_at < $3`, tenant, connection, until)
	return err
}

// paced runs a statement that returns a connection's row, which is made if there is none.
func (s *SQL) paced(ctx context.Context, doing, tenant, connection string, fn func(ctx context.Context, tx Conn) error) error {
	err := s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		err := fn(ctx, tx)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = execOn(ctx, tx, `INSERT INTO paces (tenant, connection) VALUES ($1, $2) ON CONFLICT (tenant, connection) DO NOTHING`, tenant, connection)
		if err != nil {
			return err
		}
		return fn(ctx, tx)
	})
	return s.refused(err, doing, nil, fault.NotFound("connection", connection))
}

// OpenBreaker implements pace.Store.
func (s *SQL) OpenBreaker(ctx context.Context, tenant, connection string, d time.Duration, why string) (bool, error) {
	now := s.d.Clock()
	return s.putPace(ctx, "open a breaker", tenant, connection,
		`INSERT INTO paces (tenant, connection, state, opened_at, retry_at, opens, why) VALUES ($1, $2, 'open', $3, $4, 1, $5)
		 ON CONFLICT (tenant, connection) DO UPDATE SET state = excluded.state, opened_at = excluded.opened_at, retry_at = excluded.retry_at,
		   opens = 1, why = excluded.why, prober = '', probe_until = 0 WHERE paces.state = 'closed'`,
		column.Micros(now), column.Micros(now.Add(d)), why)
}

// Probe implements pace.Store.
func (s *SQL) Probe(ctx context.Context, tenant, connection, prober string, d time.Duration) (bool, error) {
	now := s.d.Clock()
	n, err := s.exec(ctx, "probe a connection",
		`UPDATE paces SET prober = $3, probe_until = $5 WHERE tenant = $1 AND connection = $2 AND state = 'open' AND retry_at <= $4 AND probe_until <= $4`,
		tenant, connection, prober, column.Micros(now), column.Micros(now.Add(d)))
	return n > 0, err
}

// CloseBreaker implements pace.Store.
func (s *SQL) CloseBreaker(ctx context.Context, tenant, connection, prober string) (bool, error) {
	n, err := s.exec(ctx, "close a breaker",
		`UPDATE paces SET state = 'closed', opened_at = 0, retry_at = 0, opens = 0, why = '', prober = '', probe_until = 0
		 WHERE tenant = $1 AND connection = $2 AND state = 'open' AND (prober = $3 OR $3 = '')`, tenant, connection, prober)
	return n > 0, err
}

// ReopenBreaker implements pace.Store.
func (s *SQL) ReopenBreaker(ctx context.Context, tenant, connection, prober string, d time.Duration, why string) (bool, error) {
	n, err := s.exec(ctx, "open a breaker again",
		`UPDATE paces SET retry_at = $4, opens = opens + 1, why = $5, prober = '', probe_until = 0
		 WHERE tenant = $1 AND connection = $2 AND state = 'open' AND prober = $3`,
		tenant, connection, prober, column.Micros(s.d.Clock().Add(d)), why)
	return n > 0, err
}

// LeaveProbe implements pace.Store.
func (s *SQL) LeaveProbe(ctx context.Context, tenant, connection, prober string) error {
	_, err := s.exec(ctx, "leave a probe to another",
		`UPDATE paces SET prober = '', probe_until = 0 WHERE tenant = $1 AND connection = $2 AND prober = $3`, tenant, connection, prober)
	return err
}

// SetRate implements pace.Store. What was promised by the rate before is void.
func (s *SQL) SetRate(ctx context.Context, tenant, connection string, r pace.Rate) error {
	var doc []byte
	if !r.IsZero() {
		var err error
		if doc, err = column.JSON(r); err != nil {
			return err
		}
	}
	_, err := s.putPace(ctx, "set the rate of a connection", tenant, connection,
		`INSERT INTO paces (tenant, connection, rate, next_at) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (tenant, connection) DO UPDATE SET rate = excluded.rate, next_at = excluded.next_at, turns_at = 0`,
		column.Bytes(doc), column.Micros(s.d.Clock()))
	return err
}

// SetPaused implements pace.Store. One that is paused already stays so since it was.
func (s *SQL) SetPaused(ctx context.Context, tenant, connection string, paused bool) error {
	at := int64(0)
	if paused {
		at = column.Micros(s.d.Clock())
	}
	_, err := s.putPace(ctx, "pause or resume a connection", tenant, connection,
		`INSERT INTO paces (tenant, connection, paused_at) VALUES ($1, $2, $3)
		 ON CONFLICT (tenant, connection) DO UPDATE SET paused_at = excluded.paused_at WHERE (paces.paused_at = 0) <> (excluded.paused_at = 0)`, at)
	return err
}

// putPace runs an INSERT that is an UPDATE where there is a row, and says whether it has
// changed anything.
func (s *SQL) putPace(ctx context.Context, doing, tenant, connection, query string, args ...any) (bool, error) {
	changed := false
	err := s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx, query, append([]any{tenant, connection}, args...)...)
		if changed = n > 0; err == nil && n == 0 {
			return errUnchanged
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	return changed && err == nil, s.refused(err, doing, nil, fault.NotFound("connection", connection))
}

// PaceWaits implements pace.Store.
func (s *SQL) PaceWaits(ctx context.Context, tenant, connection string) (map[string]int, error) {
	counts, err := list(ctx, s, scanCounted,
		`SELECT reason, count(*) FROM executions WHERE tenant = $1 AND worker = $2 AND `+awaitsPace+` GROUP BY reason`, tenant, connection)
	all := map[string]int{}
	for _, c := range counts {
		all[c.name] = c.n
	}
	return all, err
}

// ReleasePaced implements pace.Store.
func (s *SQL) ReleasePaced(ctx context.Context, tenant, connection, reason string) (int, error) {
	n, err := s.exec(ctx, "queue what waits for a connection",
		`UPDATE executions SET state = 0, reason = '', worker = '', run_at = $3, changed_at = $3
		 WHERE tenant = $1 AND worker = $2 AND `+awaitsPace+` AND (reason = $4 OR $4 = '')`,
		tenant, connection, column.Micros(s.d.Clock()), reason)
	return int(n), err
}

// Paused implements pace.Flights.
func (s *SQL) Paused(ctx context.Context, since time.Duration) ([]pace.Key, error) {
	return list(ctx, s, scanPaceKey,
		`SELECT p.tenant, p.connection FROM paces p WHERE p.paused_at > 0 AND (p.paused_at > $1 OR EXISTS (
		   SELECT 1 FROM pace_flights f WHERE f.tenant = p.tenant AND f.connection = p.connection AND f.requests > 0))
		 ORDER BY p.tenant, p.connection LIMIT 1000`, column.Micros(s.d.Clock().Add(-since)))
}

// ReportFlight implements pace.Flights.
func (s *SQL) ReportFlight(ctx context.Context, f pace.Flight) error {
	executions, err := column.JSON(f.Executions)
	if err != nil {
		return err
	}
	_, err = s.putPace(ctx, "report what is in flight", f.Tenant, f.Connection,
		`INSERT INTO pace_flights (tenant, connection, worker, requests, executions, seen_at) VALUES ($1, $2, $3, $4, $5, $6)
		 ON CONFLICT (tenant, connection, worker) DO UPDATE SET requests = excluded.requests, executions = excluded.executions, seen_at = excluded.seen_at`,
		f.Worker, f.Requests, executions, column.Micros(s.d.Clock()))
	return err
}

// Drained implements pace.Flights.
func (s *SQL) Drained(ctx context.Context, tenant, connection string) (pace.Drain, error) {
	got := pace.Drain{Executions: []string{}}
	flights, err := list(ctx, s, scanPaceFlight,
		`SELECT f.requests, f.executions FROM workers w
		 LEFT JOIN paces p ON p.tenant = $1 AND p.connection = $2
		 LEFT JOIN pace_flights f ON f.tenant = $1 AND f.connection = $2 AND f.worker = w.id AND f.seen_at >= p.paused_at
		 WHERE NOT w.reaped AND w.lease_until >= $3`, tenant, connection, column.Micros(s.d.Clock()))
	for _, f := range flights {
		if !f.known {
			got.Silent++
		}
		got.Requests += f.requests
		got.Executions = append(got.Executions, f.executions...)
	}
	got.Done = err == nil && got.Silent == 0 && got.Requests == 0
	return got, err
}

func (s *SQL) scanPace(r scanner) (pace.Pace, error) {
	var p pace.Pace
	var rate []byte
	var state string
	var paused, next, turns, opened, retry, probe int64
	err := r.Scan(&p.Tenant, &p.Connection, &rate, &paused, &next, &turns, &state, &opened, &retry, &p.Breaker.Opens, &p.Breaker.Why, &probe)
	if err != nil {
		return p, err
	}
	p.At = s.d.Clock()
	p.PausedAt, p.Next, p.Turns = column.Time(paused), column.Time(next), column.Time(turns)
	p.Breaker.State, p.Breaker.Since, p.Breaker.RetryAt = pace.BreakerState(state), column.Time(opened), column.Time(retry)
	if p.Breaker.State == pace.Open && column.Time(probe).After(p.At) {
		p.Breaker.State = pace.HalfOpen
	}
	if len(rate) > 0 {
		err = column.FromJSON(rate, &p.Rate)
	}
	return p, err
}

func scanPaceKey(r scanner) (pace.Key, error) {
	var k pace.Key
	err := r.Scan(&k.Tenant, &k.Connection)
	return k, err
}

// paceFlight is what a worker has said, if it has.
type paceFlight struct {
	known      bool
	requests   int
	executions []string
}

func scanPaceFlight(r scanner) (paceFlight, error) {
	var f paceFlight
	var requests sql.NullInt64
	var executions []byte
	if err := r.Scan(&requests, &executions); err != nil {
		return f, err
	}
	f.known, f.requests = requests.Valid, int(requests.Int64)
	if len(executions) == 0 {
		return f, nil
	}
	return f, column.FromJSON(executions, &f.executions)
}
