package store

import (
	"os"
	"testing"
)

// TestHalfAWrittenLineLosesNothingElse: /run is full, half a line is written, then
// there is room again.
func TestHalfAWrittenLineLosesNothingElse(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	recs := records()
	if err := s.Append(recs[:1], nil); err != nil {
		t.Fatal(err)
	}
	w := s.f
	r, err := os.OpenFile(s.path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The write of the second record fails after some octets.
	w.WriteString(`{"Record":{"Ad`)
	s.f = r
	if err := s.Append(recs[1:2], owned(recs[:2])); err == nil {
		t.Fatal("written to a file that takes nothing")
	}
	s.f = w
	if err := s.Append(recs[2:], owned(recs)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	o, _ := Read(dir)
	if len(o.Routes) != 1 || len(o.Rules) != 1 {
		t.Errorf("lost: %+v", o)
	}
}
