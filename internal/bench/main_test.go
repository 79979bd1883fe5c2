package bench

import (
	"fmt"
	"os"
	"testing"
)

// roles are what a child of the benchmark can be.
var roles = map[string]func() int{
	"model":       func() int { return serve((&modelRole{}).do) },
	"feed":        func() int { return serve((&feedRole{}).do) },
	"bare":        func() int { return serve((&bareRole{}).do) },
	"vishvananda": func() int { return serve(vishvananda) },
	"bird":        keepBird,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		life, ok := roles[role]
		if !ok {
			fmt.Fprintf(os.Stderr, "no role %q\n", role)
			os.Exit(2)
		}
		os.Exit(life())
	}
	code := m.Run()
	printTable(os.Stdout)
	os.Exit(code)
}
