package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"
)

// scenario is a case: handlers, and a caller of them.
type scenario struct {
	setup    setup
	handlers handlers
	// build makes handlers that note what they see. It is used instead of handlers
	// if it is set.
	build func(tr *transcript) handlers
	// intercept makes a setup that notes what it sees. It is used instead of setup
	// if it is set.
	intercept func(tr *transcript) setup
	// call calls. ctx ends with the case.
	call func(ctx context.Context, c *call)
	// unordered begins what comes at any time: its place is not compared.
	unordered string
	// want is how the call ends over plain gRPC, as the last thing that the caller
	// notes: a code, "EOF" or "ok". It keeps the case from saying nothing.
	want string
	// differs names the difference that this case shows; nil if there is none.
	differs *difference
	// wantTunnel is how the call ends through a tunnel, if it differs.
	wantTunnel string
}

// patience is how long a case may take, in virtual time.
const patience = time.Hour

// run runs the case one way, in a bubble of its own.
func (s scenario) run(t *testing.T, w way) *transcript {
	t.Helper()
	tr := &transcript{}
	synctest.Test(t, func(t *testing.T) {
		h, ends := s.handlers, s.setup
		if s.build != nil {
			h = s.build(tr)
		}
		if s.intercept != nil {
			ends = s.intercept(tr)
		}
		cc := w.connect(t, ends, func(r grpc.ServiceRegistrar) { h.register(r, tr) })
		ctx, cancel := context.WithCancel(t.Context())
		// Heartbeats go on while a call hangs: a bubble does not notice that.
		guard := time.AfterFunc(patience, func() {
			tr.caller("patience is at its end", nil)
			cancel()
		})
		defer guard.Stop()
		s.call(ctx, &call{t: t, cc: cc, tr: tr})
		// What the handler notes after the caller has its answer counts too.
		synctest.Wait()
		cancel()
		synctest.Wait()
	})
	if s.unordered != "" {
		slices.SortStableFunc(tr.Caller, func(a, b event) int {
			return strings.Index(a.What, s.unordered) - strings.Index(b.What, s.unordered)
		})
	}
	return tr
}

// result is how the last thing that the caller noted ended.
func (tr *transcript) result() string {
	if len(tr.Caller) == 0 {
		return "nothing"
	}
	for i := len(tr.Caller) - 1; i >= 0; i-- {
		switch e := tr.Caller[i]; e.What {
		case "status", "recv", "open", "send":
			if f, ok := e.Result.(failure); ok {
				return f.Code
			}
			if e.Result == "EOF" {
				return "EOF"
			}
			return "ok"
		}
	}
	return "no end"
}

func diffTranscripts(a, b *transcript) string {
	return cmp.Diff(a, b, protocmp.Transform(), cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(transcript{}))
}

// compare runs each case all ways and compares what was seen.
func compare(t *testing.T, cases map[string]scenario) {
	t.Helper()
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			plain := s.run(t, plainWay)
			if got := plain.result(); got != s.want {
				t.Errorf("the call over plain gRPC: got %s, want %s; the caller saw %v", got, s.want, plain.Caller)
			}
			want := s.want
			if s.differs != nil && s.wantTunnel != "" {
				want = s.wantTunnel
			}
			for _, w := range []way{tunnelWay, directWay} {
				tunnel := s.run(t, w)
				if got := tunnel.result(); got != want {
					t.Errorf("the call through the tunnel, %s: got %s, want %s; the caller saw %v", w.name, got, want, tunnel.Caller)
				}
				diff := diffTranscripts(plain, tunnel)
				switch {
				case s.differs == nil && diff != "":
					t.Errorf("got a call through the tunnel, %s, that differs, want it as over plain gRPC (-plain +tunnel):\n%s", w.name, diff)
				case s.differs != nil && diff == "":
					t.Errorf("got no difference, %s, want one: %s; take it off the list", w.name, s.differs.what)
				}
			}
		})
	}
}
