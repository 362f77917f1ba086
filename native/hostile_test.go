package native_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pushtunnel/pushtunnel/native"
	"github.com/pushtunnel/pushtunnel/native/java"
)

// One that takes its name back is anonymous again, and is closed for silence.
func TestNameTakenBack(t *testing.T) {
	timed(t, func(t *testing.T, w *world, p *pipes) {
		f := p.dial(t)
		f.send(native.TypeRegister, 0, registration(t, "c1"))
		<-w.came
		f.send(native.TypeRegister, 1, registration(t, nil))
		<-w.gone
		synctest.Wait()
		began := time.Now()
		f.closed()
		if d := time.Since(began); d != 10*time.Minute {
			t.Errorf("closed after %v, want 10 minutes", d)
		}
	})
}

// What a peer sends does not fill the log, whatever it is.
func TestPeersDoNotFillTheLog(t *testing.T) {
	logs := &longest{came: make(chan int, 10)}
	w := newWorld(t, &echo{}, native.WithLogger(slog.New(logs)))
	f := fake(t, w.addr)
	long := strings.Repeat("x", 1<<20)
	for i, body := range [][]byte{
		requestBody(t, long, "m", "x"),
		requestBody(t, "s", long, "x"),
		requestBody(t, "com.baidu.brpc.example.push.normal.EchoService", "echo", java.POJO{Class: long}),
	} {
		f.send(native.TypeRequest, int64(i), body)
		if n := await(t, logs.came, "line in the log"); n > 10_000 {
			t.Errorf("a call is logged with %d bytes", n)
		}
	}
}

// longest tells the size of each record.
type longest struct {
	slog.Handler
	came chan int
}

func (l *longest) Enabled(context.Context, slog.Level) bool { return true }

func (l *longest) Handle(_ context.Context, r slog.Record) error {
	n := len(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		n += len(a.Value.String())
		return true
	})
	l.came <- n
	return nil
}
