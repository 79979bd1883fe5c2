package mirror

// table is a set of kernel objects by key, with a generation mark for sweeps.
type table[K comparable, V comparable] struct {
	m   map[K]*slot[V]
	gen uint32
}

type slot[V comparable] struct {
	v   V
	gen uint32
}

func newTable[K comparable, V comparable]() table[K, V] {
	return table[K, V]{m: map[K]*slot[V]{}}
}

func (t *table[K, V]) get(k K) *V {
	if s := t.m[k]; s != nil {
		return &s.v
	}
	return nil
}

// put stores v and marks it seen. It returns what was there before (valid
// until the next put) and whether anything changed.
func (t *table[K, V]) put(k K, v *V) (old *V, changed bool) {
	s := t.m[k]
	if s == nil {
		t.m[k] = &slot[V]{v: *v, gen: t.gen}
		return nil, true
	}
	s.gen = t.gen
	if s.v == *v {
		return &s.v, false
	}
	before := s.v
	s.v = *v
	return &before, true
}

func (t *table[K, V]) del(k K) (old *V) {
	s := t.m[k]
	if s == nil {
		return nil
	}
	delete(t.m, k)
	return &s.v
}

// stale gives the keys that the current dump did not show.
func (t *table[K, V]) stale() []K {
	var out []K
	for k, s := range t.m {
		if s.gen != t.gen {
			out = append(out, k)
		}
	}
	return out
}
