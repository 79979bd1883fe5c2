package cli

import (
	"net"
	"os"
	"time"
)

// sdNotify tells the service manager how we are (sd_notify(3)); without one it
// does nothing.
func sdNotify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // "@" is an abstract name
	if err != nil {
		return err
	}
	defer conn.Close()
	// A service manager that does not listen must not hold us up.
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(state))
	return err
}
