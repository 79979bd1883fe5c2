package ubus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recMsg is one line of a recorded exchange.
type recMsg struct {
	T         int    `json:"t"`
	Conn      string `json:"conn"`
	Dir       string `json:"dir"` // c2s, s2c
	Type      string `json:"type"`
	Seq       uint16 `json:"seq"`
	Peer      uint32 `json:"peer"`
	Hex       string `json:"hex"`
	FD        any    `json:"fd"`
	Truncated bool   `json:"truncated"`
	Len       int    `json:"len"`
	raw       []byte
	played    bool
}

type recRun struct {
	Cmd    []string `json:"cmd"`
	RC     *int     `json:"rc"`
	Stdout string   `json:"stdout"`
	Stderr string   `json:"stderr"`
}

type recHeader struct {
	Name string    `json:"name"`
	Runs []recRun  `json:"runs"`
	ACL  aclByName `json:"acl"`
}

type aclByName map[string]json.RawMessage

type recording struct {
	recHeader
	msgs []recMsg
}

func readGz(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "recordings", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func loadRecording(t testing.TB, name string) recording {
	t.Helper()
	var r recording
	sc := bufio.NewScanner(bytes.NewReader(readGz(t, name+".jsonl")))
	sc.Buffer(nil, 16<<20)
	for first := true; sc.Scan(); first = false {
		if first {
			if err := json.Unmarshal(sc.Bytes(), &r.recHeader); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var m recMsg
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(m.Hex)
		if err != nil {
			t.Fatal(err)
		}
		m.raw = raw
		r.msgs = append(r.msgs, m)
	}
	if sc.Err() != nil {
		t.Fatal(sc.Err())
	}
	return r
}

func recordingNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/recordings/*.jsonl.gz")
	if err != nil || len(files) < 30 {
		t.Fatalf("recordings: %v, %v", files, err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".jsonl.gz")
	}
	return files
}

// whole says whether the line holds a complete message.
func (m *recMsg) whole() bool {
	return len(m.raw) >= HeaderLen && !m.Truncated && m.Type != "INCOMPLETE"
}
