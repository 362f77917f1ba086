package server_test

import (
	"context"
	"fmt"

	"github.com/pushtunnel/pushtunnel/server"
)

// A watch keeps a picture of who is connected: a snapshot, then each change.
func ExampleServer_Watch() {
	push := server.New()
	s := newScene(push)
	defer s.close()
	s.connect("kitchen", "display 7")

	connected := map[string]*server.Session{} // by their ids
	for change := range push.Watch(context.Background()) {
		switch change.Kind {
		case server.Snapshot: // the first change, and again after falling behind
			clear(connected)
			for _, session := range change.Sessions {
				connected[session.ID()] = session
			}
		case server.SessionCame:
			connected[change.Session.ID()] = change.Session
		case server.SessionLeft:
			delete(connected, change.Session.ID())
		}
		fmt.Println(change.Revision, change.Kind, len(connected))

		switch change.Revision {
		case 1:
			s.connect("garage", "display 8")
		case 2:
			change.Session.Close("enough")
		case 3:
			return // or ctx ends, or the server is closed
		}
	}

	// Output:
	// 1 snapshot 1
	// 2 came 2
	// 3 left 1
}
