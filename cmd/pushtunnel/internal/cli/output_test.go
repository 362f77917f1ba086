package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/device"
	adminpb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/admin/v1"
)

var (
	noon     = time.Date(2026, 5, 1, 12, 0, 0, 0, time.Local)
	sessions = []*adminpb.Session{
		{
			Name: "kitchen", Namespace: "acme", Id: "A1", Labels: map[string]string{"zone": "eu", "floor": "1"}, Subject: "house 7",
			Protocol: "direct", Address: "10.0.0.1:5000", Since: timestamppb.New(noon.Add(-90 * time.Minute)),
			InFlight: 2, RoundTrip: durationpb.New(1234567 * time.Nanosecond),
		},
		{Name: "\x1b[2Jevil", Id: "B2", Protocol: "native", Since: timestamppb.New(noon.Add(-time.Second))},
	}
)

func TestTable(t *testing.T) {
	var b bytes.Buffer
	p := &tablePrinter{out: &b, now: func() time.Time { return noon }}
	for _, s := range sessions {
		if err := p.session(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	want := `
NAME           NAMESPACE  PROTOCOL  ADDRESS        FOR      CALLS  ROUND TRIP  SUBJECT  LABELS           SESSION
kitchen        acme       direct    10.0.0.1:5000  1h30m0s  2      1.2ms       house 7  floor=1,zone=eu  A1
"\x1b[2Jevil"  -          native    -              1s       0      -           -        -                B2
`
	if diff := cmp.Diff(want, "\n"+b.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTableOfNobody(t *testing.T) {
	var b bytes.Buffer
	if err := (&tablePrinter{out: &b}).end(); err != nil || b.String() != "Nobody is connected.\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}

func TestWatchText(t *testing.T) {
	var b bytes.Buffer
	for _, change := range []*adminpb.WatchSessionsResponse{
		{Event: &adminpb.WatchSessionsResponse_Snapshot{Snapshot: &adminpb.SnapshotPart{Sessions: sessions}}},
		{Event: &adminpb.WatchSessionsResponse_Came{Came: sessions[0]}},
		{Event: &adminpb.WatchSessionsResponse_Left{Left: sessions[0]}},
	} {
		if err := watchText(&b, change); err != nil {
			t.Fatal(err)
		}
	}
	want := `
= acme/kitchen is connected, direct from 10.0.0.1:5000, since 2026-05-01 10:30:00, floor=1,zone=eu
= "\x1b[2Jevil" is connected, native, since 2026-05-01 11:59:59
+ acme/kitchen came, direct from 10.0.0.1:5000, since 2026-05-01 10:30:00, floor=1,zone=eu
- acme/kitchen left, direct from 10.0.0.1:5000, since 2026-05-01 10:30:00, floor=1,zone=eu
`
	if diff := cmp.Diff(want, "\n"+b.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if err := watchText(&b, &adminpb.WatchSessionsResponse{}); err == nil {
		t.Error("got no error for something unknown, and what is shown is no longer whole")
	}
}

func TestEventText(t *testing.T) {
	for _, c := range []struct {
		event device.Event
		want  string
	}{
		{device.Event{Time: noon, Call: 1, Method: "a.B/C", JSON: []byte(`{"x":1}`)}, `12:00:00 #1 a.B/C {"x":1}`},
		{device.Event{Time: noon, Call: 2, Method: "a.B/C", Bytes: []byte{8, 1}}, `12:00:00 #2 a.B/C 2 bytes: 0801`},
		{device.Event{Time: noon, Call: 2, Method: "a.B/C", End: status.New(codes.OK, "")}, ``},
		{device.Event{Time: noon, Call: 2, Method: "a.B/C", End: status.New(codes.NotFound, "no\x1b")}, `12:00:00 #2 a.B/C NOT_FOUND: "no\x1b"`},
	} {
		if got := textOf(c.event); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
