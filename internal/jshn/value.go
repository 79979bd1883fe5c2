package jshn

// kind is the type of a JSON value.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindDouble
	kindString
	kindArray
	kindObject
)

// value is one JSON value.
type value struct {
	kind  kind
	num   int64 // an int; a boolean as 0 or 1
	dbl   float64
	str   string
	elems []member // of an array or object, in order
}

// member is an element of an object, or of an array (without a key).
type member struct {
	key string
	value
}

// indexFrom is the number of members from which an object's keys are indexed
// while it is made.
const indexFrom = 16

// object collects members. A key that comes again replaces the value and keeps
// the place.
type object struct {
	members []member
	index   map[string]int
}

func (o *object) set(key string, v value) {
	if i := o.find(key); i >= 0 {
		o.members[i].value = v
		return
	}
	o.members = append(o.members, member{key, v})
	n := len(o.members)
	switch {
	case o.index != nil:
		o.index[key] = n - 1
	case n == indexFrom:
		o.index = make(map[string]int, 4*n)
		for i, m := range o.members {
			o.index[m.key] = i
		}
	}
}

func (o *object) find(key string) int {
	if o.index != nil {
		if i, ok := o.index[key]; ok {
			return i
		}
		return -1
	}
	for i := range o.members {
		if o.members[i].key == key {
			return i
		}
	}
	return -1
}
