package admin_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

func TestASessionIsShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		identity := server.WithIdentity(func(_ context.Context, c server.Candidate) (server.Identity, error) {
			if c.Name == "odd" {
				return server.Identity{Name: "odd", Subject: "\xff\x00"}, nil
			}
			return server.Identity{Name: "c1", Namespace: "blue", Labels: map[string]string{"tier": "gold"}, Subject: "device 1"}, nil
		})
		w := newWorld(t, everybody, nil, identity)
		addr := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}
		l := w.enter(tunnel.Peer{Name: "claimed", Labels: map[string]string{"tier": "free", "os": "linux"}, Session: "id 1", Addr: addr})
		l.inFlight, l.trip = 3, 20*time.Millisecond
		w.enter(tunnel.Peer{Name: "odd", Session: "id 2"})
		now := timestamppb.New(time.Now())
		time.Sleep(time.Minute) // of the bubble
		page, err := w.ListSessions(t.Context(), &pb.ListSessionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		want := &pb.ListSessionsResponse{Sessions: []*pb.Session{
			{
				Name: "c1", Namespace: "blue", Id: "id 1", Labels: map[string]string{"tier": "gold"},
				ClaimedLabels: map[string]string{"tier": "free", "os": "linux"}, Subject: "device 1", Protocol: "door",
				Address: "10.0.0.1:80", Since: now, InFlight: 3, RoundTrip: durationpb.New(20 * time.Millisecond),
			},
			{Name: "odd", Id: "id 2", Subject: "\uFFFD\x00", Protocol: "door", Since: now},
		}}
		if diff := cmp.Diff(want, page, protocmp.Transform()); diff != "" {
			t.Errorf("ListSessions (-want +got):\n%s", diff)
		}
	})
}

func TestFilters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, everybody, nil)
		for text := range strings.FieldsSeq("a b@blue a@blue/tier=gold c/tier=free c/tier=gold,old=1 a") {
			text, labels, _ := strings.Cut(text, "/")
			name, namespace, _ := strings.Cut(text, "@")
			p := tunnel.Peer{Name: name, Namespace: namespace, Labels: map[string]string{}, Session: fmt.Sprint(len(w.ids()))}
			for pair := range strings.SplitSeq(labels, ",") {
				if k, v, ok := strings.Cut(pair, "="); ok {
					p.Labels[k] = v
				}
			}
			w.enter(p)
		}
		for _, test := range []struct {
			why    string
			filter *pb.Filter
			want   string // ids
		}{
			{"none", nil, "0 1 2 3 4 5"},
			{"an empty one", &pb.Filter{}, "0 1 2 3 4 5"},
			{"a namespace", &pb.Filter{Namespace: new("blue")}, "1 2"},
			{"the default namespace", &pb.Filter{Namespace: new("")}, "0 3 4 5"},
			{"a name", &pb.Filter{Name: "a"}, "0 2 5"},
			{"a name of a namespace", &pb.Filter{Name: "a", Namespace: new("")}, "0 5"},
			{"a name of another namespace", &pb.Filter{Name: "a", Namespace: new("blue")}, "2"},
			{"a name that is not there", &pb.Filter{Name: "x", Namespace: new("blue")}, ""},
			{"labels", &pb.Filter{Labels: "tier in (gold, silver), !old"}, "2"},
			{"labels and a name", &pb.Filter{Labels: "tier", Name: "c"}, "3 4"},
			{"a protocol", &pb.Filter{Protocol: "door"}, "0 1 2 3 4 5"},
			{"another protocol", &pb.Filter{Protocol: "grpc"}, ""},
		} {
			for size := range int32(4) {
				var got []string
				for _, s := range w.list(&pb.ListSessionsRequest{Filter: test.filter, PageSize: size}, nil) {
					got = append(got, s.GetId())
				}
				wantSame(t, test.why+", listed", got, strings.Fields(test.want))
			}
			ctx, cancel := context.WithCancel(t.Context())
			watch := w.watch(ctx, test.filter)
			watch.until(t, 6)
			wantSame(t, test.why+", watched", watch.ids(), strings.Fields(test.want))
			cancel()
		}
		for method, err := range map[string]error{
			"list":  second(w.ListSessions(t.Context(), &pb.ListSessionsRequest{Filter: &pb.Filter{Labels: "a="}, PageSize: -1})),
			"watch": w.watch(t.Context(), &pb.Filter{Labels: "=,"}).read(),
		} {
			t.Log(method)
			wantCode(t, err, codes.InvalidArgument)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// The sessions that are there all the time are on exactly one page, whatever comes
// and goes between the pages, and none is on two.
func TestPagesWhileSessionsComeAndGo(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
			w := newWorld(t, everybody, nil)
			var passing []*link // those that may go
			var staying []string
			for range 200 {
				l := w.named(fmt.Sprint("c", rnd.IntN(10)))
				if rnd.IntN(4) == 0 {
					staying = append(staying, l.Peer().Session)
				} else {
					passing = append(passing, l)
				}
			}
			got := w.list(&pb.ListSessionsRequest{PageSize: int32(1 + rnd.IntN(40))}, func() {
				for range rnd.IntN(20) {
					if len(passing) > 0 && rnd.IntN(3) > 0 {
						i := rnd.IntN(len(passing))
						passing[i].Close(nil)
						passing[i] = passing[len(passing)-1]
						passing = passing[:len(passing)-1]
					} else if rnd.IntN(2) == 0 {
						passing = append(passing, w.named("new"))
					}
				}
			})
			seen := map[string]int{}
			for _, s := range got {
				if seen[s.GetId()]++; seen[s.GetId()] > 1 {
					t.Fatalf("seed %d: session %q is on two pages", seed, s.GetName())
				}
			}
			for _, id := range staying {
				if seen[id] != 1 {
					t.Fatalf("seed %d: session %q, which was there all the time, is on %d pages", seed, id, seen[id])
				}
			}
		})
	}
}

func TestPageSizes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, everybody, nil)
		for i := range 1500 {
			w.named(fmt.Sprint("c", i))
		}
		for size, want := range map[int32]int{0: 100, 1: 1, 999: 999, 1000: 1000, 5000: 1000} {
			page, err := w.ListSessions(t.Context(), &pb.ListSessionsRequest{PageSize: size})
			if got := len(page.GetSessions()); got != want || err != nil || page.GetNextPageToken() == "" {
				t.Errorf("page size %d: got %d sessions, %v, want %d and a token", size, got, err, want)
			}
		}
		page, err := w.ListSessions(t.Context(), &pb.ListSessionsRequest{PageSize: 1500})
		if err != nil {
			t.Fatal(err)
		}
		// The last page is full, and there is no other one.
		page, err = w.ListSessions(t.Context(), &pb.ListSessionsRequest{PageSize: 500, PageToken: page.GetNextPageToken()})
		if n := len(page.GetSessions()); n != 500 || err != nil || page.GetNextPageToken() != "" {
			t.Errorf("got %d sessions, the token %q and %v, want 500 and no token", n, page.GetNextPageToken(), err)
		}
		wantCode(t, second(w.ListSessions(t.Context(), &pb.ListSessionsRequest{PageSize: -1})), codes.InvalidArgument)
	})
}

// Pages and parts of a snapshot are bounded in bytes, too: gRPC takes 4 MiB.
func TestLargeSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, everybody, nil)
		labels := map[string]string{}
		for i := range tunnel.MaxLabels {
			labels[fmt.Sprintf("%063d", i)] = strings.Repeat("x", tunnel.MaxLabelValue)
		}
		for i := range 300 {
			w.enter(tunnel.Peer{Name: fmt.Sprint(i), Labels: labels})
		}
		token, got, pages := "", 0, 0
		for {
			page, err := w.ListSessions(t.Context(), &pb.ListSessionsRequest{PageSize: 1000, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			if n := proto.Size(page); n > 1<<20+1000 {
				t.Errorf("got a page of %d bytes, want 1 MiB at most", n)
			}
			got, pages = got+len(page.GetSessions()), pages+1
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		if got != 300 || pages < 10 {
			t.Errorf("got %d sessions on %d pages, want 300 on ten or more", got, pages)
		}
		stream, err := w.WatchSessions(t.Context(), &pb.WatchSessionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for got = 0; ; {
			part, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if n := proto.Size(part); n > 256<<10+1000 {
				t.Errorf("got a part of %d bytes, want 256 KiB at most", n)
			}
			got += len(part.GetSnapshot().GetSessions())
			if part.GetSnapshot().GetEnd() {
				break
			}
		}
		if got != 300 {
			t.Errorf("got %d sessions in the snapshot, want 300", got)
		}
	})
}

func TestPageTokens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, other := newWorld(t, everybody, nil), newWorld(t, everybody, nil)
		for i := range 10 {
			w.named(fmt.Sprint(i))
			other.named(fmt.Sprint(i))
		}
		page, err := w.ListSessions(t.Context(), &pb.ListSessionsRequest{PageSize: 5})
		if err != nil {
			t.Fatal(err)
		}
		token := page.GetNextPageToken()
		again := func(c pb.AdminClient, f *pb.Filter, token string) error {
			return second(c.ListSessions(t.Context(), &pb.ListSessionsRequest{Filter: f, PageToken: token}))
		}
		wantCode(t, again(w, nil, token), codes.OK)
		wantCode(t, again(w, &pb.Filter{}, token), codes.OK)
		for why, err := range map[string]error{
			"another server":        again(other, nil, token),
			"another name":          again(w, &pb.Filter{Name: "1"}, token),
			"the default namespace": again(w, &pb.Filter{Namespace: new("")}, token),
			"another selector":      again(w, &pb.Filter{Labels: "a"}, token),
			"another protocol":      again(w, &pb.Filter{Protocol: "door"}, token),
			"garbage":               again(w, nil, "garbage"),
			"no base64":             again(w, nil, "!"),
			"a token that is cut":   again(w, nil, token[:8]),
			"a changed one":         again(w, nil, "A"+strings.Repeat("A", len(token)-2)+"B"),
		} {
			t.Log(why)
			wantCode(t, err, codes.InvalidArgument)
		}
		// The session at the end of the page goes; the next page is the same.
		for s := range w.push.Sessions("4", "5") {
			s.Close("gone")
		}
		synctest.Wait()
		page, err = w.ListSessions(t.Context(), &pb.ListSessionsRequest{PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "the rest", names(page.GetSessions()), []string{"6", "7", "8", "9"})
	})
}
