package ubuscmd

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"netbraid/internal/recorded"
	"netbraid/ubus"
)

type recRun struct {
	Cmd    []string `json:"cmd"`
	RC     *int     `json:"rc"`
	Stdout string   `json:"stdout"`
	Stderr string   `json:"stderr"`
	TTY    *string  `json:"stderr_tty"`
	Killed bool     `json:"ubusd_killed"`
}

type recHeader struct {
	Runs []recRun                   `json:"runs"`
	ACL  map[string]json.RawMessage `json:"acl"`
}

type recMsg struct {
	Conn, Dir, Type string
	Seq             uint16
	Peer            uint32
	Hex             string
	FD              any
	Truncated       bool
	Len             int
	SHA256          string
	raw             []byte
	msg             ubus.Message
}

const recordingsDir = "../../ubus/testdata/recordings/"

func unzip(t testing.TB, name string) []byte {
	t.Helper()
	return recorded.Bytes(t, recordingsDir+name+".gz")
}

func load(t testing.TB, name string) (recHeader, []recMsg) {
	t.Helper()
	h, msgs := recorded.WithHeader[recHeader, recMsg](t, recordingsDir+name+".jsonl.gz")
	for i := range msgs {
		m := &msgs[i]
		m.raw, _ = hex.DecodeString(m.Hex)
		m.msg, _, _ = ubus.ParseMessage(m.raw)
		if m.Truncated {
			m.restore(t)
		}
	}
	return h, msgs
}

func attr(m *ubus.Message, id uint8) (a ubus.Attr, ok bool) {
	for _, x := range m.Attrs {
		if x.ID == id {
			a, ok = x, true
		}
	}
	return a, ok
}

// answer is what a recorded server replied to one call.
type answer struct {
	replies [][]byte
	status  ubus.Status
}

// replayServer serves the objects of the recorded netifd and gives its
// recorded answers, in the order in which they were given.
type replayServer struct {
	t       *testing.T
	mu      sync.Mutex
	answers map[string][]answer // by path, method and arguments
}

func startReplay(t *testing.T, path string, recordings ...string) {
	s := &replayServer{t: t, answers: map[string][]answer{}}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := ubus.Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	paths := map[uint32]string{}
	_, list := load(t, "06-list-verbose-all")
	for i := range list {
		m := &list[i].msg
		objPath, ok := attr(m, ubus.AttrObjPath)
		if list[i].Type != "DATA" || !ok {
			continue
		}
		name, _ := objPath.Text()
		id, _ := attr(m, ubus.AttrObjID)
		n, _ := id.Uint32()
		if paths[n] != "" {
			continue
		}
		paths[n] = name
		sig, _ := attr(m, ubus.AttrSignature)
		if _, err := c.AddObject(ctx, name, ubus.ParseSignature(sig.Data), s.serve, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range recordings {
		_, msgs := load(t, r)
		s.learn(msgs, paths)
	}
}

func (s *replayServer) learn(msgs []recMsg, paths map[uint32]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range msgs {
		call := &msgs[i]
		if call.Type != "INVOKE" || call.Conn != "netifd" || call.Dir != "s2c" {
			continue
		}
		id, _ := attr(&call.msg, ubus.AttrObjID)
		n, _ := id.Uint32()
		method, _ := attr(&call.msg, ubus.AttrMethod)
		name, _ := method.Text()
		args, _ := attr(&call.msg, ubus.AttrData)
		var a answer
		for j := range msgs[i:] {
			m := &msgs[i+j]
			if m.Conn != "netifd" || m.Dir != "c2s" || m.Seq != call.Seq || m.Peer != call.Peer {
				continue
			}
			if m.Type == "DATA" {
				d, _ := attr(&m.msg, ubus.AttrData)
				a.replies = append(a.replies, d.Data)
			} else if m.Type == "STATUS" {
				st, _ := attr(&m.msg, ubus.AttrStatus)
				v, _ := st.Uint32()
				a.status = ubus.Status(v)
				break
			}
		}
		key := paths[n] + " " + name + " " + string(args.Data)
		s.answers[key] = append(s.answers[key], a)
	}
}

func (s *replayServer) serve(r *ubus.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Object + " " + r.Method + " " + string(r.RawArgs())
	list := s.answers[key]
	if len(list) == 0 {
		s.t.Errorf("call %q was not recorded", key)
		r.Done(ubus.StatusUnknownError)
		return
	}
	s.answers[key] = list[1:]
	for _, d := range list[0].replies {
		r.ReplyRaw(d)
	}
	r.Done(list[0].status)
}
