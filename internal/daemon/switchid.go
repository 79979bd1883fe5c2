package daemon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
)

// switchID is what marks rows of a database of Open vSwitch as ours. Databases
// outlive a boot, and several machines may write to one: it is the same in every
// process and boot of this machine with this run directory, of which one daemon
// has the use, and another everywhere else.
func switchID(machineID, runDir string) string {
	machine, err := os.ReadFile(machineID)
	if machine = bytes.TrimSpace(machine); err != nil || len(machine) == 0 {
		host, _ := os.Hostname()
		machine = []byte("host " + host)
	}
	sum := sha256.Sum256(append(append(machine, 0), runDir...))
	return hex.EncodeToString(sum[:6])
}

// machineIDFile is machine-id(5).
const machineIDFile = "/etc/machine-id"
