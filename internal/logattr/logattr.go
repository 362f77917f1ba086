// Package logattr has the keys of the log, the same in all packages:
//
//	client     the client's name
//	namespace  its namespace, unless that is the default one
//	subject    who it has proved to be, if anybody
//	session    the session's id
//	protocol   what carries the session
//	addr       the network address of the other end
//	method     the full method of a call
//	code       the code of a status
//	reason     the text of a status
//	limit      the name of the limit that was hit
package logattr

import (
	"log/slog"
	"net"

	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// Client names a client, with what is known of it.
func Client(p tunnel.Peer) []slog.Attr {
	attrs := []slog.Attr{slog.String("client", clip(p.Name))}
	for _, a := range []slog.Attr{
		slog.String("namespace", clip(p.Namespace)), slog.String("subject", clip(p.Subject)),
		slog.String("session", p.Session), slog.String("protocol", p.Protocol),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if p.Addr != nil {
		attrs = append(attrs, Addr(p.Addr))
	}
	return attrs
}

// Conn names a connection.
func Conn(protocol string, addr net.Addr) []slog.Attr {
	return []slog.Attr{slog.String("protocol", protocol), Addr(addr)}
}

// Addr is the other end's address.
func Addr(a net.Addr) slog.Attr {
	if a == nil {
		return slog.String("addr", "")
	}
	return slog.String("addr", a.String())
}

// Method is a call's method.
func Method(name string) slog.Attr { return slog.String("method", name) }

// longest is how many bytes of a text are logged in which the other end may have had
// its say.
const longest = 1 << 10

func clip(s string) string {
	if len(s) <= longest {
		return s
	}
	return s[:longest] + "..."
}

// Reason tells why something has ended or failed.
func Reason(err error) []slog.Attr {
	st := status.Convert(err)
	attrs := []slog.Attr{slog.String("code", st.Code().String())}
	if err != nil {
		attrs = append(attrs, slog.String("reason", clip(st.Message())))
	}
	if l, ok := tunnel.LimitOf(err); ok {
		attrs = append(attrs, slog.String("limit", string(l)))
	}
	return attrs
}
