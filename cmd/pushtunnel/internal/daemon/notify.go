package daemon

import (
	"net"
	"os"
)

// What a service manager is told.
const (
	stateReady    = "READY=1"
	stateStopping = "STOPPING=1"
)

// notify tells the service manager what becomes of the server, if there is one that
// wants to know: it has named a datagram socket in NOTIFY_SOCKET, as systemd does for
// Type=notify. That it could not be told does not stop the server.
func (d *Daemon) notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if err := send(path, state); err != nil {
		d.logger.Warn("the service manager could not be told", "state", state, "error", err)
	}
}

// send sends a datagram to a socket. A path that begins with "@" is of the abstract
// name space.
func send(path, text string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(text))
	return err
}
