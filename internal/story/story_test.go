package story

import (
	"flag"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/vmtest"
	"netbraid/rtnl"
)

// TestMain lets more stories wait at a time than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// logger writes the daemon's log to the terminal when NETBRAID_TEST_LOG is set
// (to debug: with every operation).
func logger() *slog.Logger {
	switch os.Getenv("NETBRAID_TEST_LOG") {
	case "":
		return slog.New(slog.DiscardHandler)
	case "debug":
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// TestStories plays every story in both worlds, which then are to be in the
// same state.
func TestStories(t *testing.T) {
	all, err := loadStories()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			playBoth(t, s)
		})
	}
}

// TestStoriesOnTestKernel plays on the test kernel the stories that need what
// the host's kernel may lack.
func TestStoriesOnTestKernel(t *testing.T) {
	vmtest.Require(t)
	all, err := loadStories()
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, s := range all {
		if len(s.needs) > 0 {
			played++
			t.Run(s.name, func(t *testing.T) { playBoth(t, s) })
		}
	}
	if played == 0 {
		t.Error("no story needs the test kernel")
	}
}

func playBoth(t *testing.T, s *story) {
	var simulation world
	t.Run("sim", func(t *testing.T) {
		if s.only == "real" {
			t.Skip("only real: " + s.why)
		}
		w := newSimulated(t.TempDir(), logger())
		if err := play(w, s); err != nil {
			t.Fatal(err)
		}
		simulation = w
	})
	t.Run("real", func(t *testing.T) {
		if s.only == "sim" {
			t.Skip("only sim: " + s.why)
		}
		playReal(t, s, simulation)
	})
}

func playReal(t *testing.T, s *story, simulation world) {
	w, err := newReal(t, t.TempDir(), logger())
	if err != nil {
		t.Fatal(err)
	}
	for _, feature := range s.needs {
		if err := supports(w, feature); err != nil {
			t.Skipf("this kernel has no %s (%v): make vmtest plays it on one that has", feature, err)
		}
	}
	if err := play(w, s); err != nil {
		t.Fatal(err)
	}
	if simulation == nil {
		return
	}
	// Duplicate address detection takes up to 2 s, and its end is visible.
	if why := eventually(w, usual, func() string { return compare(t, s, simulation, w) }); why != "" {
		t.Errorf("the worlds end differently (- simulated, + real):\n%s", why)
	}
}

// supports tries a feature on a link that it makes for it.
func supports(w world, feature string) error {
	switch feature {
	case "8021q":
		if err := addLink(w, "veth", "try0", "try1", rtnl.MAC([6]byte{6, 1}), rtnl.MAC([6]byte{6, 2})); err != nil {
			return err
		}
		index, err := ifindex(w, "try0")
		if err != nil {
			return err
		}
		r := rtnl.LinkRequest{Link: rtnl.Link{Name: "try0.1", Kind: "vlan", Parent: index, VLAN: rtnl.VLAN{ID: 1, Protocol: unix.ETH_P_8021Q}},
			Set: rtnl.LinkName | rtnl.LinkParent | rtnl.VLANID | rtnl.VLANProtocol}
		err = w.request(rtnl.AppendLink(nil, unix.RTM_NEWLINK, create, 0, &r))
		if derr := delLink(w, "try0"); err == nil {
			err = derr
		}
		return err
	}
	return unix.ENOTSUP
}

var linkNumber = regexp.MustCompile(`^link \d+:`)
var macAddress = regexp.MustCompile(`address ([0-9a-f:]{17})`)

// flapped are routes on links without carrier that stay behind if IPv6 noticed
// the carrier before it went: the kernel looks about once a second.
var flapped = regexp.MustCompile(`^route .*(fe80::/64|ff00::/8) .* linkdown`)

// compare tells in what the two worlds differ. Left out, each because it is
// random or a matter of time: ifindexes, link-layer addresses that neither the
// story nor the configuration chose and the IPv6 addresses made of them, what
// flapped has, and whether duplicate address detection still runs.
func compare(t *testing.T, s *story, a, b world) string {
	state := func(w world) []string {
		_, names, err := links(w)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, kind := range []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRoute, rtnl.KindRule} {
			err := eachMessage(w, kind, func(h rtnl.Header, body []byte) {
				line := linkNumber.ReplaceAllString(rtnl.FormatMessage(h, body, names)[2:], "link")
				if strings.Contains(strings.ReplaceAll(line, "fe80::/64", ""), "fe80:") || flapped.MatchString(line) {
					return
				}
				line = macAddress.ReplaceAllStringFunc(line, func(m string) string {
					mac := m[len("address "):]
					if strings.HasPrefix(mac, "06:00:00:00:00:") || strings.HasPrefix(mac, "00:00:00") || s.mentions(mac) {
						return m
					}
					return "address random"
				})
				out = append(out, timeless(strings.ReplaceAll(line, " tentative", "")))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(out)
		return out
	}
	if err := a.pass(10 * time.Millisecond); err != nil {
		return err.Error()
	}
	return difference(state(a), state(b))
}

func (s *story) mentions(word string) bool {
	for _, text := range s.files {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
