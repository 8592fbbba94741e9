package fairshare

// queue is a heap of the shares that have tickets in line, with the one whose
// turn it is in front. Each knows its position, so that it can move.
type queue struct {
	shares []*share
	pushes uint64
}

// due says whether somebody else should run now, not a key of this time. Of the
// same time, the one that waits.
func (q *queue) due(time int64) bool {
	return len(q.shares) > 0 && q.shares[0].time <= time
}

func (q *queue) push(k *share) {
	q.pushes++
	k.since, k.position = q.pushes, len(q.shares)
	q.shares = append(q.shares, k)
	q.up(k.position)
}

func (q *queue) remove(k *share) {
	at, last := k.position, len(q.shares)-1
	q.swap(at, last)
	q.shares[last] = nil
	q.shares = q.shares[:last]
	if at < last {
		q.fix(q.shares[at])
	}
}

// again puts k behind the others of its time.
func (q *queue) again(k *share) {
	q.pushes++
	k.since = q.pushes
	q.fix(k)
}

// fix moves k to where its time belongs.
func (q *queue) fix(k *share) {
	q.up(k.position)
	q.down(k.position)
}

func (q *queue) less(i, j int) bool {
	a, b := q.shares[i], q.shares[j]
	if a.time != b.time {
		return a.time < b.time
	}
	return a.since < b.since
}

func (q *queue) swap(i, j int) {
	q.shares[i], q.shares[j] = q.shares[j], q.shares[i]
	q.shares[i].position, q.shares[j].position = i, j
}

func (q *queue) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			return
		}
		q.swap(i, parent)
		i = parent
	}
}

func (q *queue) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q.shares); child++ {
			if q.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}
