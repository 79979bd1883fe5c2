package pair

// queue is keys to be looked at, each once, in the order in which they came.
type queue[K comparable] struct {
	keys []K
	in   map[K]bool
	head int
}

func newQueue[K comparable]() queue[K] { return queue[K]{in: map[K]bool{}} }

func (q *queue[K]) add(k K) {
	if !q.in[k] {
		q.in[k] = true
		q.keys = append(q.keys, k)
	}
}

func (q *queue[K]) len() int { return len(q.keys) - q.head }

func (q *queue[K]) pop() K {
	k := q.keys[q.head]
	var zero K
	q.keys[q.head] = zero
	if q.head++; q.head == len(q.keys) {
		q.keys, q.head = q.keys[:0], 0
	}
	delete(q.in, k)
	return k
}
