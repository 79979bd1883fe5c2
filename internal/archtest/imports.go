package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// layer is a step of the one way in which imports point: a package may import
// those of lower layers.
type layer int

// The layers, from below.
const (
	public layer = iota // libraries that know nothing of netbraid
	values
	pure
	center // the functional core's one meeting place
	shell
	loop
	command
	program
	tests // worlds and checks for tests; no program imports them
)

var layerNames = [...]string{"public", "model", "functional core", "core", "shell", "daemon", "cli", "cmd", "tests"}

func (l layer) String() string { return layerNames[l] }

// places gives each package its layer, by its folder below internal/; folders
// further below have the layer of the one above them, unless they are here. The packages of the
// design that are still to come have their place already.
var places = map[string]layer{
	"model": values, "dataplane": values, "ovs/odp": values,
	"iface": pure, "device": pure, "pair": pure, "proto": pure, "plan": pure, "mirror": pure, "rib": pure, "config": pure,
	"core":   center,
	"ovs/l2": pure,
	"kernel": shell, "dataplane/netns": shell, "dataplane/vpp": shell, "ovs": shell, "helper": shell, "api": shell, "store": shell, "dryrun": shell, "shelllib": shell, "hotplug": shell, "resolv": shell,
	"daemon": loop,
	"cli":    command, "ubuscmd": command, "ucicmd": command, "jshn": command,
	"getopt": public,
	"sim":    tests, "nstest": tests, "ovstest": tests, "birdtest": tests, "recorded": tests, "vmtest": tests, "archtest": tests, "capture": tests, "story": tests, "bench": tests, "partners": tests, "router": tests,
	"dataplane/conformance": tests, "dataplane/memory": tests, "dataplane/vpptest": tests,
}

// sideways are the imports within one layer, each with its reason.
var sideways = map[string]string{
	"proto config":    "a handler reads the section of its interface",
	"iface config":    "an interface is configuration applied to a device",
	"iface proto":     "an interface calls its handler",
	"iface plan":      "what an interface wants is a plan.Objects",
	"device config":   "a device is what a section says",
	"device plan":     "what a device wants is a plan.LinkWant",
	"pair mirror":     "what Linux has decides what the dataplane must have",
	"pair plan":       "what a companion is to be told is a plan.Op",
	"mirror rib":      "routes are a part of the mirror, and of every consumer of routes",
	"resolv store":    "files are saved in one way",
	"ovs store":       "files are saved in one way",
	"helper shelllib": "scripts get their library",
	"dryrun store":    "what is ours decides what a reload would do",
	"cli ubuscmd":     "the verb netbraid ubus",
	"cli ucicmd":      "the verb netbraid uci",
	"cli jshn":        "the verb netbraid jshn",
	"birdtest nstest": "where BIRD runs",
	"capture nstest":  "real namespaces",
	"ovstest nstest":  "where its daemons run",
	"partners nstest": "real namespaces",
	"router nstest":   "real namespaces",
	"story nstest":    "the real world of a story",
	"story sim":       "the simulated world of a story",
}

// place finds the layer of a folder; ok is false when the table does not know
// it. name is the key of the table.
func place(dir string) (l layer, name string, ok bool) {
	switch parts := strings.Split(dir, "/"); {
	case parts[0] == "cmd":
		return program, "cmd", true
	case parts[0] == "internal" && len(parts) > 1:
		if len(parts) > 2 {
			if l, ok = places[parts[1]+"/"+parts[2]]; ok {
				return l, parts[1] + "/" + parts[2], ok
			}
		}
		l, ok = places[parts[1]]
		return l, parts[1], ok
	default:
		return public, parts[0], true
	}
}

// checkImports holds that imports point one way.
func checkImports(t *tree) (out []violation) {
	for _, p := range t.pkgs {
		from, name, ok := place(p.dir)
		if !ok {
			out = append(out, violation{p.dir, 0, "this package has no layer: give it one in places (internal/archtest/imports.go)"})
			continue
		}
		for _, f := range p.files {
			f.imports(func(s *ast.ImportSpec, imported string) {
				dir, inside := strings.CutPrefix(imported, t.module+"/")
				if !inside {
					return
				}
				if why := mayImport(from, name, dir, f.test); why != "" {
					out = append(out, violation{f.path, t.line(s.Pos()), why})
				}
			})
		}
	}
	return out
}

// mayImport says why a file must not import the package in folder dir; empty
// when it may.
func mayImport(from layer, name, dir string, test bool) string {
	to, target, ok := place(dir)
	switch {
	case !ok:
		return "imports " + dir + ", which has no layer"
	case from == public:
		if strings.HasPrefix(dir, "internal/") {
			return "a public package imports " + dir
		}
	case test || name == target: // the rest is of programs
	case from == program && target != "cli":
		return "a command imports " + dir + ": it may import internal/cli"
	case from == tests:
		// The simulated kernel may know the core, as the worlds of the shell do.
		if target == "sim" || name == "sim" && to > center {
			return "package " + name + " imports " + dir + " (" + to.String() + ")"
		}
	case to == tests:
		return "a program imports " + dir + ", which is for tests"
	case to > from:
		return fmt.Sprintf("layer %s imports %s of layer %s: imports point the other way", from, dir, to)
	case to == from && sideways[name+" "+target] == "":
		return fmt.Sprintf("imports %s of its own layer (%s): sideways does not have it", dir, to)
	case target == "uci" && from <= center && name != "config":
		return "the core reads UCI through package config"
	}
	return ""
}

// unusedSideways lists the entries of sideways that nobody needs any more.
// Packages that are not there yet are left out.
func unusedSideways(t *tree, allowed map[string]string) (unused []string) {
	there, used := map[string]bool{}, map[string]bool{}
	for _, p := range t.pkgs {
		_, name, _ := place(p.dir)
		there[name] = true
		for _, f := range p.files {
			f.imports(func(_ *ast.ImportSpec, imported string) {
				if dir, inside := strings.CutPrefix(imported, t.module+"/"); inside {
					_, target, _ := place(dir)
					used[name+" "+target] = true
				}
			})
		}
	}
	for pair := range allowed {
		from, to, _ := strings.Cut(pair, " ")
		if there[from] && there[to] && !used[pair] {
			unused = append(unused, pair)
		}
	}
	slices.Sort(unused)
	return unused
}
