package vpp

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"netbraid/internal/dataplane"
)

// call makes one request and waits for its answer. refused is what VPP says
// when it does not do it; err ends the session.
func (s *session) call(m, reply message, body []byte) (d decoder, refused, err error) {
	if refused := s.ids.missing(m, reply); refused != nil {
		return d, refused, nil
	}
	start, context, err := s.begin(m, nil, 0)
	if err != nil {
		return d, nil, err
	}
	s.out = append(s.out, body...)
	endFrame(s.out, start)
	if err := s.wait(context); err != nil {
		return d, nil, err
	}
	d, refused, err = s.answerOf(m, reply)
	if rv := retval(d.u32()); refused == nil && err == nil && rv != 0 {
		refused = fmt.Errorf("%s: %w", m, rv)
	}
	return d, refused, err
}

// wait sends what is encoded and handles what comes until context is answered.
func (s *session) wait(context uint32) error {
	s.wanted = context
	if err := s.flush(); err != nil {
		return err
	}
	for s.wanted == context {
		if err := s.pump(); err != nil {
			return err
		}
	}
	return nil
}

// answerOf returns the answer behind its context.
func (s *session) answerOf(m message, replies ...message) (d decoder, refused, err error) {
	if len(s.answer) == 0 {
		return d, fmt.Errorf("%s: %w", m, errLost), nil
	}
	d = decoder{b: s.answer}
	number := d.u16()
	d.skip(4)
	for _, r := range replies {
		if s.ids.in(number) == r {
			return d, nil, nil
		}
	}
	return d, nil, fmt.Errorf("VPP answers %s with message %d (%s)", m, number, s.ids.in(number))
}

// done is call for requests whose answer has nothing but the retval.
func (s *session) done(m, reply message, body []byte) (refused, err error) {
	_, refused, err = s.call(m, reply, body)
	return refused, err
}

// dump asks for a table and hands every entry to each, whose error ends the
// session. A ping behind the request tells where the entries end.
func (s *session) dump(m, details message, body []byte, each func(p []byte) error) (refused, err error) {
	if refused := s.ids.missing(m, details); refused != nil {
		return refused, nil
	}
	// Both go out together: what answers the first one must find collect set.
	if s.next-s.oldest+2 > uint32(len(s.ring)) {
		if err := s.room(); err != nil {
			return nil, err
		}
	}
	start, context, err := s.begin(m, nil, 0)
	if err != nil {
		return nil, err
	}
	s.out = append(s.out, body...)
	endFrame(s.out, start)
	s.forget(context) // it has no answer of its own
	start, end, err := s.begin(controlPing, nil, 0)
	if err != nil {
		return nil, err
	}
	endFrame(s.out, start)
	s.collect = &collect{context: context, details: details, each: each}
	err = s.wait(end)
	s.collect = nil
	if err != nil {
		return nil, err
	}
	_, refused, err = s.answerOf(controlPing, controlPingReply)
	return refused, err
}

func (s *session) forget(context uint32) {
	s.ring[context&uint32(len(s.ring)-1)] = entry{}
	s.waiting--
}

// maxPages bounds a stream whose cursor does not come to an end.
const maxPages = 1 << 16

// stream asks page after page. VPP may answer the second version of a request
// with the first one's reply.
func (s *session) stream(m, details message, replies []message, body func(cursor uint32) []byte, each func(p []byte) error) (refused, err error) {
	if refused := s.ids.missing(m, details); refused != nil {
		return refused, nil
	}
	for cursor, page := uint32(0), 0; page < maxPages; page++ {
		start, context, err := s.begin(m, nil, 0)
		if err != nil {
			return nil, err
		}
		s.out = append(s.out, body(cursor)...)
		endFrame(s.out, start)
		s.collect = &collect{context: context, details: details, each: each}
		err = s.wait(context)
		s.collect = nil
		if err != nil {
			return nil, err
		}
		d, refused, err := s.answerOf(m, replies...)
		if refused != nil || err != nil {
			return refused, err
		}
		rv := retval(d.u32())
		cursor = d.u32()
		switch {
		case d.err != nil:
			return nil, fmt.Errorf("%s: %w", m, d.err)
		case rv == 0:
			return nil, nil
		case rv != again:
			return fmt.Errorf("%s: %w", m, rv), nil
		}
	}
	return nil, fmt.Errorf("VPP answers %s with more than %d pages", m, maxPages)
}

// handshake makes us known to VPP and learns what it can.
func (s *session) handshake() error {
	if err := s.introduce(); err != nil {
		return err
	}
	d, refused, err := s.call(controlPing, controlPingReply, nil)
	if err = errors.Join(refused, err); err != nil {
		return fmt.Errorf("first ping: %w", err)
	}
	d.skip(4)
	s.ns.vpp = d.u32()
	d, refused, err = s.call(showVersion, showVersionReply, nil)
	if err != nil {
		return err
	}
	s.version = "VPP"
	if refused == nil {
		d.skip(32)
		s.version += " " + d.str(32)
	}
	if s.opt.looks {
		return s.learnPairs()
	}
	refused, err = s.done(wantInterfaceEvents, wantInterfaceEventsReply, encodeWantEvents(nil, uint32(os.Getpid())))
	if err != nil {
		return err
	}
	if refused != nil {
		return fmt.Errorf("ask for interface events: %w", refused)
	}
	if err := s.findSource(); err != nil {
		return err
	}
	return s.learnPairs()
}

// introduce sends sockclnt_create and reads the table of messages.
func (s *session) introduce() error {
	s.out = encodeCreate(s.out, 0, "netbraid")
	if err := s.flush(); err != nil {
		return err
	}
	s.timer.Reset(s.opt.Timeout)
	select {
	case c, ok := <-s.chunks:
		if !ok || c.n == 0 {
			return fmt.Errorf("no answer to sockclnt_create: %w", cmp.Or(c.err, errGone))
		}
		p, rest := nextFrame(c.buf[:c.n])
		var err error
		if s.client, s.ids, err = decodeCreateReply(p); err != nil {
			return err
		}
		if len(rest) > 0 {
			return errors.New("VPP sends more than was asked for after sockclnt_create")
		}
		c.n = 0
		return s.handle(c, true)
	case <-s.timer.C:
		return fmt.Errorf("VPP has not answered sockclnt_create for %s: its main thread is stuck", s.opt.Timeout)
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// linuxNLSource is a FIB source that VPP's own listener to netlink makes when
// its plugin is loaded.
const linuxNLSource = "lcp-rt"

// routeMessages are what routes need.
var routeMessages = []message{routeAddDel, routeAddDelReply, routeDump, routeDetails, tableDump, tableDetails,
	sourceAdd, sourceAddReply, sourceDump, sourceDetails}

// findSource finds our FIB source, or makes it. The same name twice would be
// two sources.
func (s *session) findSource() error {
	if lacks := s.ids.missing(routeMessages...); lacks != nil {
		s.lack("routes", lacks)
		return nil
	}
	found := false
	s.local = 0
	refused, err := s.dump(sourceDump, sourceDetails, nil, func(p []byte) error {
		src, err := decodeSource(p)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", sourceDetails, err)
		case src.name == s.opt.Source && !found:
			found, s.source = true, src.id
		case src.name == s.opt.Source+localSuffix && s.local == 0:
			s.local = src.id
		case src.name == linuxNLSource:
			s.warn(linuxNLHint)
		}
		return nil
	})
	if err != nil || found {
		return err
	}
	if refused != nil {
		return refused
	}
	s.source, refused, err = s.addSource(s.opt.Source, s.opt.Priority)
	return errors.Join(refused, err)
}

// addSource makes a FIB source.
func (s *session) addSource(name string, priority uint8) (id uint8, refused, err error) {
	d, refused, err := s.call(sourceAdd, sourceAddReply, encodeSource(nil, source{priority, 0, name}))
	if refused != nil || err != nil {
		return 0, refused, err
	}
	id = d.u8()
	return id, nil, d.err
}

// localSuffix makes the name of the source of what is for VPP itself.
const localSuffix = "-local"

// warn says what of VPP's settings is against us, once and not with every
// connection, and notes it for those that ask.
func (s *session) warn(what string) {
	s.lacks = append(s.lacks, what)
	if !s.c.warned[what] {
		if s.c.warned == nil {
			s.c.warned = map[string]bool{}
		}
		s.c.warned[what] = true
		s.opt.Log.Warn(what, "socket", s.opt.Socket)
	}
}

const linuxNLHint = "VPP's plugin linux_nl is loaded and writes the same routes, addresses and neighbours: switch it off (startup.conf: plugins { plugin linux_nl_plugin.so { disable } })"

// lcpHints are settings of linux-cp that have VPP change Linux by itself, with
// what comes of it.
var lcpHints = map[string]string{
	"lcp lcp-sync on":        "VPP's linux-cp writes every change of an interface to its companion (lcp-sync), also what was only taken away for a moment, as addresses when an interface changes its VRF: switch it off (startup.conf: linux-cp { } without lcp-sync; now: vppctl lcp lcp-sync off)",
	"lcp lcp-auto-subint on": "VPP's linux-cp makes companions of new sub-interfaces by itself, with names of its own (lcp-auto-subint): switch it off (startup.conf: linux-cp { } without lcp-auto-subint; now: vppctl lcp lcp-auto-subint off)",
}

// lcpSettings looks for what of linux-cp's settings is against us. Only its
// command line shows them. local0 never has a pair: nothing else is listed.
func (s *session) lcpSettings() error {
	if !s.ids.has(cliInband, cliInbandReply) {
		return nil
	}
	const show = "show lcp phy local0"
	d, refused, err := s.call(cliInband, cliInbandReply, append(put32(nil, uint32(len(show))), show...))
	if refused != nil || err != nil {
		return err
	}
	text := d.take(int(d.u32()))
	for line := range strings.Lines(string(text)) {
		if what := lcpHints[strings.TrimSpace(line)]; what != "" {
			s.warn(what)
		}
	}
	return d.err
}

func (s *session) lack(what string, why error) {
	s.lacks = append(s.lacks, fmt.Sprintf("%s: %v", what, why))
}

// learnPairs reads the pairs that there are, and what linux-cp says about
// namespaces.
func (s *session) learnPairs() error {
	if lacks := s.pairsMissing(); lacks != nil {
		s.lack("pairs", lacks)
		return nil
	}
	if s.ids.has(defaultNSGet, defaultNSGetReply) {
		start, context, err := s.begin(defaultNSGet, nil, 0)
		if err != nil {
			return err
		}
		endFrame(s.out, start)
		if err := s.wait(context); err != nil {
			return err
		}
		d, refused, err := s.answerOf(defaultNSGet, defaultNSGetReply)
		if err != nil {
			return err
		}
		if refused == nil {
			s.ns.def = d.str(netnsLen) // this answer has no retval
		}
	}
	_, refused, err := s.readPairs()
	if refused != nil {
		s.lack("pairs", refused)
	}
	if err != nil || s.opt.looks {
		return err
	}
	if err := s.lcpSettings(); err != nil {
		return err
	}
	return s.punt()
}

// pairRequests are the versions of the request for a pair, the newest first.
// Their answers differ; what was made is asked for anyway.
var pairRequests = [][2]message{{pairAddDelV3, pairAddDelV3Reply}, {pairAddDelV2, pairAddDelV2Reply}, {pairAddDel, pairAddDelReply}}

// pairRequest is the newest version that this VPP has.
func (s *session) pairRequest() (m, reply message) {
	for _, v := range pairRequests {
		if s.ids.has(v[:]...) {
			return v[0], v[1]
		}
	}
	return pairRequests[0][0], pairRequests[0][1]
}

// pairsMissing says why there can be no pairs.
func (s *session) pairsMissing() error {
	m, reply := s.pairRequest()
	return s.ids.missing(m, reply, pairGet, pairGetReply, pairDetails)
}

// mplsMessages are what labels need.
var mplsMessages = []message{mplsEnable, mplsEnableReply, mplsInterfaceDump, mplsInterfaceDetails, mplsTableAddDel, mplsTableAddDelReply,
	mplsTableDump, mplsTableDetails, mplsRouteAddDel, mplsRouteAddDelReply, mplsRouteDump, mplsRouteDetails}

// caps says what this VPP can.
func (s *session) caps() dataplane.Caps {
	lacks := s.ids.missing(mplsMessages...)
	if lacks != nil {
		s.lack("MPLS", lacks)
	}
	subs := s.ids.missing(createSubif, createSubifReply, deleteSubif, deleteSubifReply)
	if subs != nil {
		s.lack("sub-interfaces", subs)
	}
	groups := s.ids.missing(multicastMessages...)
	if groups != nil {
		s.lack("multicast to companions", groups)
	}
	return dataplane.Caps{Resolves: true, Multicast: groups == nil, MPLS: lacks == nil, TUN: s.pairsMissing() == nil, SubInterfaces: subs == nil,
		MaxPaths: maxPaths, Version: s.version, Missing: s.lacks}
}
