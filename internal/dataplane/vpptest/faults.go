package vpptest

// Drop makes the nth message of a name from now vanish, as VPP does with one
// that it finds truncated.
func (s *Server) Drop(name string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropName, s.dropAt = name, n
}

// dropped tells whether this message is to vanish.
func (s *Server) dropped(name string) bool {
	if s.dropAt == 0 || name != s.dropName {
		return false
	}
	s.dropAt--
	return s.dropAt == 0
}

// Flap is SetUp whose event waits until something else is sent.
func (s *Server) Flap(index uint32, up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.st.vif(index); v != nil {
		s.st.setUp(v, up)
		s.st.tellEvents()
	}
}
