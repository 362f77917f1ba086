package browser

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/pushtunnel/pushtunnel/client"
	pb "github.com/pushtunnel/pushtunnel/examples/quickstart/notifierpb"
)

// pictures is the environment variable that names the folder for screenshots.
const pictures = "PUSHTUNNEL_SCREENSHOT"

// The pictures of docs/ADMIN.md: a server with some clients that have something to do.
// "make screenshot" takes them. It takes a minute, for the curves.
func TestScreenshot(t *testing.T) {
	dir := os.Getenv(pictures)
	if dir == "" {
		t.Skipf("no pictures are wanted: make screenshot sets %s", pictures)
	}
	s := serve(t, "--max-sessions-per-name=2")
	demo(t, s)
	wide := open(t, 1280, 940, s.admin+"/?sort=inflight")
	phone := open(t, 390, 844, s.admin+"/?sort=inflight")
	for _, p := range []struct {
		*tab
		file string
	}{{wide, "admin.png"}, {phone, "admin-phone.png"}} {
		p.until("some history", `tiles[2].points.length > 40`)
		picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p.file), smaller(t, picture), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// smaller returns a picture in fewer bytes: with 256 colours, the most frequent of those
// that are not alike.
func smaller(t *testing.T, picture []byte) []byte {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	frequency := make(map[color.Color]int)
	bounds := decoded.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			frequency[decoded.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(frequency), func(a, b color.Color) int { return frequency[b] - frequency[a] })
	var palette color.Palette
	for _, c := range colours {
		if len(palette) < 256 && !slices.ContainsFunc(palette, func(other color.Color) bool { return alike(c, other) }) {
			palette = append(palette, c)
		}
	}
	drawn := image.NewPaletted(bounds, palette)
	draw.Draw(drawn, bounds, decoded, bounds.Min, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, drawn); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// alike reports whether nobody can tell two colours apart.
func alike(a, b color.Color) bool {
	r, g, blue, _ := a.RGBA()
	r2, g2, blue2, _ := b.RGBA()
	near := func(x, y uint32) bool { return max(x, y)-min(x, y) < 6<<8 }
	return near(r, r2) && near(g, g2) && near(blue, blue2)
}

// demo connects clients and calls them, until the test ends.
func demo(t *testing.T, s *process) {
	var names []string
	add := func(name, protocol, namespace string, delay time.Duration, pairs ...string) *device {
		opts := []client.Option{labels(pairs...)}
		if namespace != "" {
			opts = append(opts, client.WithNamespace(namespace))
		}
		if protocol == "native" {
			opts = nil // its protocol has neither
		} else if namespace == "" {
			names = append(names, name)
		}
		return s.connect(t, kind{name: name, protocol: protocol, delay: delay, opts: opts})
	}
	for i := range 8 {
		add(fmt.Sprintf("lamp-%d", i+1), "direct", "", time.Duration(3+i)*time.Millisecond, "site=depot", fmt.Sprintf("floor=%d", i/3+1))
	}
	for i, site := range []string{"berlin", "lyon", "oslo", "porto"} {
		add("kitchen-"+site, "grpc", "", time.Duration(12+9*i)*time.Millisecond, "site="+site, "fw=2.4.1")
		add("hall-"+site, "grpc", "", time.Duration(14+7*i)*time.Millisecond, "site="+site, "fw=2.4.1", "display=large")
	}
	for i := range 6 {
		add(fmt.Sprintf("till-%02d", i+1), "grpc", "acme", time.Duration(22+5*i)*time.Millisecond, "region=eu", "tier=gold")
	}
	for i := range 3 {
		add(fmt.Sprintf("gate-%c", 'a'+i), "native", "", 0)
	}
	for i := range 5 {
		add(fmt.Sprintf("sensor-%d", i+1), "direct", "globex", time.Duration(60+30*i)*time.Millisecond, "region=us", "battery")
	}

	ctx, stop := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	t.Cleanup(func() { stop(); callers.Wait() })
	stub := s.caller(t)
	every := func(interval time.Duration, call func(ctx context.Context)) {
		callers.Go(func() {
			for pace := time.NewTicker(interval); ; {
				select {
				case <-pace.C:
					call(ctx)
				case <-ctx.Done():
					pace.Stop()
					return
				}
			}
		})
	}
	for i, name := range names {
		every(time.Duration(20+i*17)*time.Millisecond, func(ctx context.Context) {
			_, _ = stub.Notify(to(ctx, name, ""), &pb.NotifyRequest{Text: "Dinner is ready"})
		})
	}
	for i := range 6 {
		every(time.Duration(90+30*i)*time.Millisecond, func(ctx context.Context) {
			_, _ = stub.Notify(to(ctx, fmt.Sprintf("till-%02d", i+1), "acme"), &pb.NotifyRequest{Text: "42.00"})
		})
	}
	every(1700*time.Millisecond, func(ctx context.Context) {
		_, _ = stub.Notify(to(ctx, "hall-oslo", ""), &pb.NotifyRequest{Text: "fail"})
	})
	every(time.Second, func(ctx context.Context) { // bursts
		for range rand.IntN(60) {
			_, _ = stub.Notify(to(ctx, "lamp-3", ""), &pb.NotifyRequest{Text: "on"})
		}
	})
	for _, name := range []string{"kitchen-lyon", "hall-berlin", "hall-berlin", "lamp-2", "lamp-2", "lamp-2", "kitchen-porto"} {
		callers.Go(func() {
			if stream, err := stub.Install(to(ctx, name, ""), &pb.InstallRequest{Version: "2.5.0"}); err == nil {
				_, _ = stream.Recv()
			}
		})
	}
	callers.Go(func() { // a client that is not there
		_, _ = stub.Notify(waiting(to(ctx, "cellar", "")), &pb.NotifyRequest{Text: "hello"})
	})

	for _, end := range []struct {
		after time.Duration
		how   func()
	}{
		{2 * time.Second, add("lamp-9", "direct", "", 0, "site=depot").leave},
		{9 * time.Second, add("till-07", "grpc", "acme", 0, "region=eu").leave},
		{15 * time.Second, add("garage", "grpc", "", 0, "site=berlin").cut},
		{21 * time.Second, add("sensor-6", "direct", "globex", 0, "region=us").mute},
		{31 * time.Second, add("gate-d", "native", "", 0).cut},
	} {
		callers.Go(func() {
			wait := time.NewTimer(end.after)
			defer wait.Stop()
			select {
			case <-wait.C:
				end.how()
			case <-ctx.Done():
			}
		})
	}
	add("kiosk", "grpc", "", 0)
	add("kiosk", "grpc", "", 0)
	t.Cleanup(s.refused(t, "kiosk", ""))
}
