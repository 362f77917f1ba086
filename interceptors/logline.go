package interceptors

import (
	"context"
	"log/slog"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// The middleware's keys that have others here, or that say nothing of a push.
const (
	codeKey     = "grpc.code"
	durationKey = "duration"
)

var dropped = map[string]bool{
	logging.SystemTag[0]: true, logging.ComponentFieldKey: true, logging.ServiceFieldKey: true,
	logging.MethodFieldKey: true, logging.MethodTypeFieldKey: true,
	"grpc.error": true, "grpc.start_time": true, "grpc.request.deadline": true, "peer.address": true,
}

func durationField(d time.Duration) logging.Fields { return logging.Fields{durationKey, d} }

// lines returns what writes the middleware's fields with this library's keys.
func lines(l *slog.Logger, text string) logging.Logger {
	return logging.LoggerFunc(func(ctx context.Context, level logging.Level, _ string, fields ...any) {
		if !l.Enabled(ctx, slog.Level(level)) {
			return
		}
		l.LogAttrs(ctx, slog.Level(level), text, line(ctx, fields)...)
	})
}

// line returns what is logged of a call.
func line(ctx context.Context, fields logging.Fields) []slog.Attr {
	attrs := whose(ctx)
	c, _ := ctx.Value(loggedKey{}).(*logged)
	attrs = append(attrs, slog.String("method", c.method))
	var rest []slog.Attr
	for i := fields.Iterator(); i.Next(); {
		switch k, v := i.At(); {
		case k == codeKey:
			attrs = append(attrs, slog.Any("code", v))
		case !dropped[k]:
			rest = append(rest, slog.Any(k, v))
		}
	}
	if _, calling := tunnel.TargetFromContext(ctx); calling {
		attrs = append(attrs, slog.String("outcome", tunnel.OutcomeOf(c.err).String()))
	}
	if c.err != nil {
		attrs = append(attrs, slog.String("reason", status.Convert(c.err).Message()))
	}
	return append(attrs, rest...)
}

// whose returns which client and session a call is of. At the end that calls that
// is whom the push is for, even if it is made by the handler of another call.
func whose(ctx context.Context) []slog.Attr {
	var namespace, name, session string
	if t, ok := tunnel.TargetFromContext(ctx); ok {
		p, _ := t.Session()
		namespace, name, session = t.Namespace, t.Name, p.Session
	} else if p, ok := tunnel.PeerFromContext(ctx); ok {
		namespace, name, session = p.Namespace, p.Name, p.Session
	}
	attrs := []slog.Attr{slog.String("client", name)}
	if namespace != "" {
		attrs = append(attrs, slog.String("namespace", namespace))
	}
	if session != "" {
		attrs = append(attrs, slog.String("session", session))
	}
	return attrs
}
