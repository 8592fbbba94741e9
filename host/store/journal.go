package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// Journal implements execution.Runs and execution.Store: it is empty where
// nothing is recorded, as for an execution of another tenant. The first segment
// has the large bodies of all.
func (s *SQL) Journal(ctx context.Context, tenant, id string) (execution.Recorded, error) {
	segments, err := list(ctx, s, scanSegment,
		`SELECT seq, body FROM journal WHERE tenant = $1 AND execution = $2 ORDER BY seq`, tenant, id)
	if err != nil {
		return execution.Recorded{}, err
	}
	for i := range segments {
		if err := s.sealing.OpenSegment(ctx, tenant, id, &segments[i]); err != nil {
			return execution.Recorded{}, err
		}
	}
	var r execution.Recorded
	if len(segments) > 0 && segments[0].Seq == record.WorldSeq {
		r.World, segments = segments[0].Data, segments[1:]
	}
	if len(segments) == 0 {
		return r, nil
	}
	r.Segments = segments
	// Read after the segments: what they name was written with them.
	bodies, err := list(ctx, s, scanBody,
		`SELECT b.digest, b.bytes FROM journal_refs r JOIN journal_bodies b ON b.tenant = r.tenant AND b.digest = r.digest
		 WHERE r.tenant = $1 AND r.execution = $2`, tenant, id)
	if err != nil || len(bodies) == 0 {
		return r, err
	}
	r.Segments[0].Large = make(map[journal.Digest][]byte, len(bodies))
	for _, b := range bodies {
		if err := s.sealing.OpenLarge(ctx, tenant, b.digest, &b.bytes); err != nil {
			return r, err
		}
		r.Segments[0].Large[b.digest] = b.bytes
	}
	return r, nil
}

// body is a large body.
type body struct {
	digest journal.Digest
	bytes  []byte
}

func scanSegment(r scanner) (journal.Segment, error) {
	var s journal.Segment
	err := r.Scan(&s.Seq, &s.Data)
	return s, err
}

func scanBody(r scanner) (body, error) {
	var b body
	var digest []byte
	err := r.Scan(&digest, &b.bytes)
	copy(b.digest[:], digest)
	return b, err
}
