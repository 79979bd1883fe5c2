package dataplane

// Seen is what a look at a dataplane shows, without any change of it.
type Seen struct {
	Version    string
	Interfaces []Interface
	Pairs      []Pair
}

// Interface gives the interface of a name; nil for none.
func (s *Seen) Interface(name string) *Interface {
	for i := range s.Interfaces {
		if s.Interfaces[i].Name == name {
			return &s.Interfaces[i]
		}
	}
	return nil
}

// At gives the interface with a number, nil for none.
func (s *Seen) At(index uint32) *Interface {
	for i := range s.Interfaces {
		if s.Interfaces[i].Index == index {
			return &s.Interfaces[i]
		}
	}
	return nil
}

// Pair gives the pair of an interface; nil for none.
func (s *Seen) Pair(phy uint32) *Pair {
	for i := range s.Pairs {
		if s.Pairs[i].Phy == phy {
			return &s.Pairs[i]
		}
	}
	return nil
}
