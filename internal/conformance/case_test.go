package conformance

import (
	"context"
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
	// call calls. ctx ends with the case.
	call func(ctx context.Context, c *call)
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
		h := s.handlers
		if s.build != nil {
			h = s.build(tr)
		}
		cc := w.connect(t, s.setup, func(r grpc.ServiceRegistrar) { h.register(r, tr) })
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

// compare runs each case both ways and compares what was seen.
func compare(t *testing.T, cases map[string]scenario) {
	t.Helper()
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			plain, tunnel := s.run(t, plainWay), s.run(t, tunnelWay)
			if got := plain.result(); got != s.want {
				t.Errorf("the call over plain gRPC: got %s, want %s; the caller saw %v", got, s.want, plain.Caller)
			}
			want := s.want
			if s.differs != nil && s.wantTunnel != "" {
				want = s.wantTunnel
			}
			if got := tunnel.result(); got != want {
				t.Errorf("the call through the tunnel: got %s, want %s; the caller saw %v", got, want, tunnel.Caller)
			}
			diff := cmp.Diff(plain, tunnel, protocmp.Transform(), cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(transcript{}))
			switch {
			case s.differs == nil && diff != "":
				t.Errorf("got a call through the tunnel that differs, want it as over plain gRPC (-plain +tunnel):\n%s", diff)
			case s.differs != nil && diff == "":
				t.Errorf("got no difference, want one: %s; take it off the list", s.differs.what)
			}
		})
	}
}
