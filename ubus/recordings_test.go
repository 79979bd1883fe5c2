package ubus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
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
	SHA256    string `json:"sha256"`
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
	Name    string          `json:"name"`
	Runs    []recRun        `json:"runs"`
	ACL     aclByName       `json:"acl"`
	Results json.RawMessage `json:"results"`
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
		if m.Truncated {
			m.raw = m.restore(t)
		}
		r.msgs = append(r.msgs, m)
	}
	if sc.Err() != nil {
		t.Fatal(sc.Err())
	}
	return r
}

// restore makes a message whole of which the recorder kept the beginning, its
// length and its hash: one letter fills it up to the final NUL and padding.
func (m *recMsg) restore(t testing.TB) []byte {
	raw := append(m.raw, bytes.Repeat(m.raw[len(m.raw)-1:], m.Len-len(m.raw))...)
	for zeros := range 5 {
		copy(raw[m.Len-zeros:], make([]byte, zeros))
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) == m.SHA256 {
			return raw
		}
	}
	t.Fatalf("message %d on %s: cannot be restored", m.T, m.Conn)
	return nil
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
