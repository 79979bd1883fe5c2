package story

import (
	"strings"
	"testing"
)

const failing = `A story for TestExpectationsFail.

-- network --
config device
	option name 'br0'
	option type 'bridge'
	list ports 'eth0'
config interface 'lan'
	option device 'br0'
	option proto 'static'
	option ipaddr '10.0.0.1/24'
	option gateway '10.0.0.254'
	option ip4table '100'
config interface 'absent'
	option device 'eth9'
-- story --
veth eth0 peer0
start
expect state lan UP
`

// TestExpectationsFail holds that each command and each expectation can fail,
// and says what it saw.
func TestExpectationsFail(t *testing.T) {
	for line, want := range map[string]string{
		"within 20ms expect state lan DOWN":                        `"UP", not "DOWN"`,
		"for 20ms expect state lan DOWN":                           `"UP", not "DOWN"`,
		"within 20ms expect interfaces lan":                        `"absent lan", not "lan"`,
		"within 20ms expect addrs br0":                             `"10.0.0.1/24", not ""`,
		"within 20ms expect addrs br0 10.0.0.1/24 10.0.0.2/24":     `not "10.0.0.1/24 10.0.0.2/24"`,
		"within 20ms expect addrs br7":                             "there is no link br7",
		"within 20ms expect addr br0 10.0.0.1/24 'brd 10.0.0.9'":   "brd 10.0.0.255",
		"within 20ms expect route 'default via 10.0.0.254'":        "dev br0 table 100",
		"expect no-route 'default via 10.0.0.254'":                 "there is default via 10.0.0.254 dev br0 table 100",
		"within 20ms expect rule '10000: from 10.0.0.1/32'":        "lookup 100",
		"expect no-rule 'lookup 100'":                              "there is 10000:",
		"within 20ms expect link br0 down":                         "br0 is not down",
		"within 20ms expect link br0 mtu 1400":                     `"1500", not "1400"`,
		"within 20ms expect link br0 forward_delay 0":              `no "forward_delay 0"`,
		"within 20ms expect no-link br0":                           "there is a link br0",
		"within 20ms expect port eth0 none":                        `"br0", not "none"`,
		"within 20ms expect sysctl ipv6/conf/eth0/disable_ipv6 0":  `"1", not "0"`,
		"within 20ms expect writes 0":                              "count of operations",
		"expect writes-at-most 1":                                  "at most 1",
		"within 20ms expect events 'ifup lan, ifup lan'":           `not "ifup lan, ifup lan"`,
		"within 20ms expect events-unordered ''":                   `not ""`,
		"within 20ms expect announced ''":                          `"+10.0.0.1/24", not ""`,
		"within 20ms expect error lan KEY_TAKEN":                   "lan has no error",
		"within 20ms expect error absent NO_DEVICE 'switched off'": "there is no device eth9",
		"expect no-error absent":                                   "absent has NO_DEVICE",
		"within 20ms expect nothing-owned":                         "still ours: 2 links",
		"addr-del 10.0.0.9/24 br0":                                 "RTM_DELADDR",
		"route-del 10.9.0.0/16":                                    "RTM_DELROUTE",
		"rule-del prio 77 lookup 100":                              "RTM_DELRULE",
		"link-del br7":                                             "there is no link br7",
		"fight 20ms addr-del 10.0.0.9/24 br0":                      "the command never worked",
		"rival 20ms addr-del 10.0.0.9/24 br0":                      "RTM_DELADDR",
		"ifup nobody":                                              "status 4",
		"reload-fails network:":                                    "the reload did not fail",
		"config network.9":                                         "the story has no file network.9",
		"expect writes":                                            "arguments",
		"expect luck":                                              `no expectation "luck"`,
		"dance":                                                    `no command "dance"`,
		"stop\nexpect state lan UP":                                "not running",
		"expect state 'lan":                                        "a quote is open",
		"link-set br0 colour green":                                `no word "colour"`,
	} {
		s, err := parseStory("failing", []byte(failing+line+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		err = play(newSimulated(t.TempDir(), logger()), s)
		switch {
		case err == nil:
			t.Errorf("%q does not fail", line)
		case !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "story line "):
			t.Errorf("%q fails with %q, which lacks %q", line, err, want)
		}
	}
}

// TestStoryFiles holds what a story has to say about itself.
func TestStoryFiles(t *testing.T) {
	for text, want := range map[string]string{
		"":                                `no file "story"`,
		"-- story --\nstart\n":            "what it is about",
		"x\n-- story --\nonly real\n":     "only real: REASON",
		"x\n-- story --\nonly dream: x\n": "only real: REASON",
	} {
		if _, err := parseStory("s", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	s, err := parseStory("s", []byte("x\n-- story --\nonly sim: a reason\nneeds 8021q\nstart\n"))
	if err != nil || s.only != "sim" || s.why != "a reason" || len(s.needs) != 1 || s.lines[2] != "start" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestCompareSees holds that the comparison of the two worlds sees a
// difference.
func TestCompareSees(t *testing.T) {
	var ws [2]world
	for i, addr := range []string{"10.0.0.1/24", "10.0.0.2/24"} {
		s, err := parseStory("s", []byte("x\n-- story --\nveth eth0 peer0\nup eth0\naddr-add "+addr+" eth0\n"))
		if err != nil {
			t.Fatal(err)
		}
		ws[i] = newSimulated(t.TempDir(), logger())
		if err := play(ws[i], s); err != nil {
			t.Fatal(err)
		}
	}
	why := compare(t, &story{}, ws[0], ws[1])
	if !strings.Contains(why, "- addr 10.0.0.1/24") || !strings.Contains(why, "+ addr 10.0.0.2/24") {
		t.Errorf("the difference is %q", why)
	}
}
