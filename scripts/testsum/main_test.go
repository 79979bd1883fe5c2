package main

import (
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	const in = `{"Action":"start","Package":"netbraid/a"}
{"Action":"output","Package":"netbraid/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"pass","Package":"netbraid/a","Test":"TestOne"}
{"Action":"output","Package":"netbraid/a","Test":"TestTwo","Output":"    a_test.go:7: wrong: 3\n"}
{"Action":"fail","Package":"netbraid/a","Test":"TestTwo"}
{"Action":"output","Package":"netbraid/a","Test":"TestThree","Output":"    a_test.go:9: needs a moon\n"}
{"Action":"skip","Package":"netbraid/a","Test":"TestThree"}
{"Action":"output","Package":"netbraid/a","Output":"FAIL\n"}
{"Action":"output","Package":"netbraid/a","Output":"exit status 2\n"}
{"Action":"fail","Package":"netbraid/a","Elapsed":1.25}
go: something else
{"Action":"build-output","ImportPath":"netbraid/b","Output":"b.go:1: no\n"}
{"Action":"build-fail","ImportPath":"netbraid/b"}
`
	const want = `    a_test.go:7: wrong: 3
exit status 2
FAIL	netbraid/a	1.2s
go: something else
b.go:1: no
skipped: needs a moon: a.TestThree
1 passed, 1 failed, 1 skipped
`
	var out strings.Builder
	failed, err := summarize(strings.NewReader(in), &out)
	if err != nil || !failed || out.String() != want {
		t.Errorf("failed %v, error %v, output:\n%s\nwant:\n%s", failed, err, out.String(), want)
	}
}

func TestSummarizeGood(t *testing.T) {
	const in = `{"Action":"pass","Package":"netbraid/a","Test":"TestOne"}
{"Action":"output","Package":"netbraid/a","Output":"PASS\n"}
{"Action":"pass","Package":"netbraid/a","Elapsed":2}`
	var out strings.Builder
	failed, err := summarize(strings.NewReader(in), &out)
	if want := "ok\tnetbraid/a\t2.0s\n1 passed, 0 failed, 0 skipped\n"; err != nil || failed || out.String() != want {
		t.Errorf("failed %v, error %v, output:\n%s", failed, err, out.String())
	}
}
