package postgres

import (
	"slices"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

func TestGroupsAreCutByTheBytesThatTheyCarry(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		sizes []int
		want  []int
	}{
		"none":                 {nil, nil},
		"all fit":              {[]int{4, 3, 3}, []int{3}},
		"the limit is reached": {[]int{4, 3, 3, 1}, []int{3, 1}},
		"one is too large":     {[]int{11, 12, 1, 2}, []int{1, 1, 2}},
		"the last is":          {[]int{1, 30}, []int{1, 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var items []*group.Item[sealing.Completion]
			for _, size := range test.sizes {
				items = append(items, &group.Item[sealing.Completion]{Value: sealing.Completion{Completion: execution.Completion{Attempt: make([]byte, size)}}})
			}
			var got []int
			for next := 0; len(items) > 0; {
				var now []*group.Item[sealing.Completion]
				now, items = within(items, 10, carried)
				for _, it := range now {
					if len(it.Value.Attempt) != test.sizes[next] {
						t.Errorf("item %d has %d bytes, want %d: the order is kept", next, len(it.Value.Attempt), test.sizes[next])
					}
					next++
				}
				got = append(got, len(now))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got groups of %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatACompletionCarriesIsCounted(t *testing.T) {
	t.Parallel()
	some := []byte("1234567")
	for name, c := range map[string]execution.Completion{
		"output":     {Output: some},
		"error":      {Error: some},
		"trace":      {Attempt: some},
		"state":      {State: state.Changes{Writes: []state.Write{{Key: "123", Value: some[3:]}}}},
		"tags":       {Tags: []emit.Tag{{Name: "1", Value: "234567"}}},
		"world":      {World: some},
		"journal":    {Journal: &journal.Segment{Data: some[:3], Large: map[journal.Digest][]byte{{1}: some[3:5], {2}: some[5:]}}},
		"checkpoint": {Checkpoint: &execution.Checkpoint{Cursor: some}},
	} {
		if got := carried(sealing.Completion{Completion: c}); got != len(some) {
			t.Errorf("%s: got %d bytes, want %d", name, got, len(some))
		}
	}
	records := sealing.Completion{Records: []sealing.Event{{Event: event.Event{DedupeKey: "12", Body: some[2:]}}}}
	if got := carried(records); got != len(some) {
		t.Errorf("records: got %d bytes, want %d", got, len(some))
	}
}
