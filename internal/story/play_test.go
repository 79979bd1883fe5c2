package story

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"netbraid/internal/core"
	"netbraid/rtnl"
)

// story is one file.
type story struct {
	name  string
	about string
	files map[string]string
	lines []string // of the file "story"
	only  string   // "real" or "sim", when it is for one world only
	why   string
	needs []string // features of the kernel that the host may lack
}

// parseStory reads a story. Its first lines may say "only real: REASON",
// "only sim: REASON" and "needs FEATURE".
func parseStory(name string, data []byte) (*story, error) {
	a := txtar.Parse(data)
	s := &story{name: name, about: strings.TrimSpace(string(a.Comment)), files: map[string]string{}}
	for _, f := range a.Files {
		s.files[f.Name] = string(f.Data)
	}
	text, ok := s.files["story"]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s has no file \"story\"", name)
	case s.about == "":
		return nil, fmt.Errorf("%s does not say what it is about", name)
	}
	for _, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		words := strings.Fields(l)
		switch {
		case len(words) > 1 && words[0] == "only":
			world, why, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(l), "only "), ":")
			s.only, s.why = world, strings.TrimSpace(why)
			if s.only != "real" && s.only != "sim" || s.why == "" {
				return nil, fmt.Errorf("%s: %q: not \"only real: REASON\" or \"only sim: REASON\"", name, l)
			}
			l = ""
		case len(words) > 1 && words[0] == "needs":
			s.needs = append(s.needs, words[1:]...)
			l = ""
		}
		s.lines = append(s.lines, l)
	}
	return s, nil
}

func loadStories() ([]*story, error) {
	files, err := filepath.Glob("../../testdata/story/*.txtar")
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no stories in testdata/story: %v", err)
	}
	var out []*story
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		s, err := parseStory(strings.TrimSuffix(filepath.Base(f), ".txtar"), b)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// player plays one story in one world.
type player struct {
	w     world
	s     *story
	macs  byte
	wrote uint64 // at the last mark
	told  int
	heard int
}

// usual is how long an expectation may take to come true, unless "within" says
// otherwise.
const usual = 5 * time.Second

func play(w world, s *story) error {
	p := &player{w: w, s: s}
	if text, ok := s.files["network"]; ok {
		if err := w.configure(text); err != nil {
			return err
		}
	}
	for i, l := range s.lines {
		words, err := split(l)
		if err == nil && len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			err = p.command(words)
		}
		if err != nil {
			return fmt.Errorf("%s: story line %d: %s: %w", s.name, i+1, strings.TrimSpace(l), err)
		}
	}
	return nil
}

// mac gives one link-layer address after the other.
func (p *player) mac() rtnl.HWAddr {
	p.macs++
	return rtnl.MAC([6]byte{6, 0, 0, 0, 0, p.macs})
}

func (p *player) command(words []string) error {
	name, args := words[0], words[1:]
	if c, ok := commands[name]; ok {
		if len(args) < c.min || c.max >= 0 && len(args) > c.max {
			return fmt.Errorf("%s: %d arguments, not %d to %d", name, len(args), c.min, c.max)
		}
		return c.run(p, args)
	}
	switch name {
	case "expect":
		return p.expect(usual, 0, args)
	case "within", "for":
		if len(args) < 3 || args[1] != "expect" {
			return fmt.Errorf("%s DURATION expect …", name)
		}
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		if name == "for" {
			return p.expect(0, d, args[2:])
		}
		return p.expect(d, 0, args[2:])
	case "fight", "rival":
		if len(args) < 2 {
			return fmt.Errorf("%s DURATION COMMAND …", name)
		}
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		if name == "rival" {
			return p.rival(d, args[1:])
		}
		won := false
		why := always(p.w, d, func() string {
			won = p.command(args[1:]) == nil || won
			return ""
		})
		if why == "" && !won {
			why = "the command never worked"
		}
		return asError(why)
	}
	return fmt.Errorf("there is no command %q", name)
}

// rival does a command, and again at once after every operation of netbraid,
// for some time. It needs a world that can be stopped there.
func (p *player) rival(d time.Duration, words []string) error {
	w, ok := p.w.(*simulated)
	if !ok {
		return errors.New("only the simulated world has rivals")
	}
	w.rival = func() {
		if err := p.command(words); err != nil && w.err == nil {
			w.err = err
		}
	}
	defer func() { w.rival = nil }()
	return errors.Join(p.command(words), w.pass(d))
}

type command struct {
	min, max int
	run      func(p *player, args []string) error
}

// commands is filled by init: a command may run another.
var commands map[string]command

func init() {
	commands = map[string]command{
		// What others do.
		"veth":       {2, 2, (*player).veth},
		"link-add":   {2, 3, func(p *player, a []string) error { return addLink(p.w, a[1], a[0], "", p.mac(), rtnl.HWAddr{}) }},
		"link-del":   {1, 1, func(p *player, a []string) error { return delLink(p.w, a[0]) }},
		"link-set":   {2, -1, func(p *player, a []string) error { return setLink(p.w, a[0], a[1:]) }},
		"up":         {1, 1, func(p *player, a []string) error { return setLink(p.w, a[0], []string{"up"}) }},
		"down":       {1, 1, func(p *player, a []string) error { return setLink(p.w, a[0], []string{"down"}) }},
		"addr-add":   {2, -1, func(p *player, a []string) error { return changeAddr(p.w, true, a) }},
		"addr-del":   {2, -1, func(p *player, a []string) error { return changeAddr(p.w, false, a) }},
		"route-add":  {1, -1, func(p *player, a []string) error { return changeRoute(p.w, true, a) }},
		"route-del":  {1, -1, func(p *player, a []string) error { return changeRoute(p.w, false, a) }},
		"rule-add":   {2, -1, func(p *player, a []string) error { return changeRule(p.w, true, a) }},
		"rule-del":   {2, -1, func(p *player, a []string) error { return changeRule(p.w, false, a) }},
		"neigh-add":  {3, 3, func(p *player, a []string) error { return changeNeigh(p.w, true, a) }},
		"neigh-del":  {2, 2, func(p *player, a []string) error { return changeNeigh(p.w, false, a) }},
		"sysctl-set": {2, 2, func(p *player, a []string) error { return p.w.setSysctl(a[0], a[1]) }},
		// What netbraid is told.
		"start":        {0, 0, func(p *player, _ []string) error { return p.w.start() }},
		"stop":         {0, 0, func(p *player, _ []string) error { return p.w.kill() }},
		"kill":         {0, 0, func(p *player, _ []string) error { return errors.Join(p.w.kill(), p.w.start()) }},
		"config":       {1, 1, (*player).config},
		"reload":       {0, 0, func(p *player, _ []string) error { return p.w.reload() }},
		"reload-fails": {1, -1, (*player).reloadFails},
		"ifup":         {1, 1, func(p *player, a []string) error { return p.verb(core.VerbUp, a[0]) }},
		"ifdown":       {1, 1, func(p *player, a []string) error { return p.verb(core.VerbDown, a[0]) }},
		"restart":      {1, 1, func(p *player, a []string) error { return p.verb(core.VerbRestart, a[0]) }},
		// The story.
		"advance": {1, 1, (*player).advance},
		"mark":    {0, 0, (*player).mark},
		"quiet":   {0, 0, func(p *player, _ []string) error { return p.quiet() }},
	}
}

func asError(why string) error {
	if why == "" {
		return nil
	}
	return errors.New(why)
}

func (p *player) veth(a []string) error {
	if err := addLink(p.w, "veth", a[0], a[1], p.mac(), p.mac()); err != nil {
		return err
	}
	return setLink(p.w, a[1], []string{"up"})
}

func (p *player) config(a []string) error {
	text, ok := p.s.files[a[0]]
	if !ok {
		return fmt.Errorf("the story has no file %s", a[0])
	}
	return p.w.configure(text)
}

func (p *player) reloadFails(a []string) error {
	err := p.w.reload()
	if err == nil {
		return errors.New("the reload did not fail")
	}
	for _, text := range a {
		if !strings.Contains(err.Error(), text) {
			return fmt.Errorf("the reload failed with %q, which lacks %q", err, text)
		}
	}
	return nil
}

func (p *player) verb(v core.Verb, name string) error {
	st, err := p.w.command(v, name)
	if err == nil && st != core.OK {
		err = fmt.Errorf("status %d", st)
	}
	return err
}

func (p *player) advance(a []string) error {
	d, err := time.ParseDuration(a[0])
	if err != nil {
		return err
	}
	return p.w.pass(d)
}

// mark begins the count of writes, events and notifications anew, when
// nothing is under way.
func (p *player) mark([]string) error {
	err := p.quiet()
	p.wrote, p.told, p.heard = p.w.writes(), len(p.w.events()), len(p.w.heard())
	return err
}

func (p *player) quiet() error {
	return asError(eventually(p.w, usual, func() string { return busy(p.w) }))
}

// describe says where everything stands, for messages.
func describe(c *core.Core) string {
	var b strings.Builder
	for _, n := range c.Interfaces() {
		m := c.Interface(n)
		fmt.Fprintf(&b, "%s=%s(%s) ", n, m.State(), m.Device())
	}
	for _, f := range c.Planner().Failures("") {
		b.WriteString("\n  " + f.Owner + ": " + f.String())
	}
	return b.String()
}

// reduce collapses what is repeated, which it is when a flag of an address
// changes: "+a", "+a" is one "+a". It gives what came after the first since.
func reduce(news []string, since int) (out []string) {
	there := map[string]bool{}
	for i, n := range news {
		if n[0] == '+' && there[n[1:]] {
			continue
		}
		there[n[1:]] = n[0] == '+'
		if i >= since {
			out = append(out, n)
		}
	}
	return out
}
