package config

import "testing"

// TestMirrorOfAWrongNamespace: a section whose namespace is wrong does not
// become that of the daemon's own, neither its limits (a first boot uses what
// is right) nor its place.
func TestMirrorOfAWrongNamespace(t *testing.T) {
	for _, netns := range []string{".", "../x", "a/b", "/run/../x", "a b"} {
		cfg, problems := parseText(t, "config mirror bad\n\toption netns '"+netns+"'\n\toption rx_buffer_size 4096\nconfig mirror own\n\toption batch_size 7\n", Options{})
		if len(cfg.Mirrors) != 1 || cfg.Mirrors[0].Name != "own" || len(problems) != 1 {
			t.Errorf("netns %q: mirrors %+v, problems %v; want that of own, and one problem", netns, cfg.Mirrors, problems)
		}
	}
}
