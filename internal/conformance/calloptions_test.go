package conformance

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/tunnel"
)

// finishing notes each time that a call finishes.
func finishing(tr *transcript) grpc.CallOption {
	return grpc.OnFinish(func(err error) { tr.caller("finish", err) })
}

func TestOnFinish(t *testing.T) {
	failed := status.Error(codes.Aborted, "no")
	compare(t, map[string]scenario{
		"of a unary call": {
			handlers: handlers{unary: echoUnary},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("a"), finishing(c.tr), finishing(c.tr)) },
			want:     "ok",
		},
		"of a unary call that fails": {
			handlers: handlers{unary: func(context.Context, *message) (*message, error) { return nil, failed }},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("a"), finishing(c.tr)) },
			want:     "Aborted",
		},
		"of a call that can't begin": {
			handlers: handlers{unary: echoUnary},
			call: func(ctx context.Context, c *call) {
				done, cancel := context.WithCancel(ctx)
				cancel()
				c.unary(done, text("a"), finishing(c.tr))
				c.open(done, bidiMethod, finishing(c.tr))
				c.unary(metadata.AppendToOutgoingContext(ctx, "key", "\x01"), text("a"), finishing(c.tr))
				c.unary(ctx, "not a message", finishing(c.tr))
				c.unary(ctx, text("a"), finishing(c.tr), grpc.UseCompressor("no-such"), finishing(c.tr))
				c.unary(ctx, text("a"), grpc.CallContentSubtype("no-such"), finishing(c.tr))
				c.open(ctx, bidiMethod, grpc.CallContentSubtype("no-such"), finishing(c.tr))
				c.unary(ctx, text("a"), finishing(c.tr), refusing(failed))
			},
			want: "Internal",
		},
		"of a stream": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod, finishing(c.tr))
				s.send(text("a"))
				s.recv()
				s.closeSend()
				s.recv()
				s.finish()
			},
			want: "EOF",
		},
		"of a stream that fails": {
			handlers: handlers{stream: func(*served) error { return failed }},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod, finishing(c.tr))
				s.recv()
				s.finish()
			},
			want: "Aborted",
		},
		"of a stream that nobody reads": {
			handlers: handlers{stream: func(s *served) error {
				<-s.Context().Done()
				return nil
			}},
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				c.open(ctx, bidiMethod, finishing(c.tr))
				synctest.Wait()
				cancel()
				synctest.Wait()
			},
			want: "ok",
		},
		"of a stream by Header": {
			handlers: handlers{stream: func(*served) error { return failed }},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod, finishing(c.tr))
				s.header()
				c.tr.caller("asked for the header", nil)
				s.recv()
			},
			want: "Aborted",
		},
		"of a stream by SendMsg": {
			handlers: handlers{stream: echo},
			call: func(ctx context.Context, c *call) {
				s := c.open(ctx, bidiMethod, finishing(c.tr))
				synctest.Wait() // or the handler may never see the call
				s.send("not a message")
				c.tr.caller("sent", nil)
				s.recv()
			},
			want: "Internal",
		},
		"may look at the call": {
			handlers: handlers{stream: func(s *served) error {
				s.setHeader(metadata.Pairs("key", "header"))
				s.setTrailer(metadata.Pairs("key", "trailer"))
				return failed
			}},
			call: func(ctx context.Context, c *call) {
				var s *opened
				s = c.open(ctx, bidiMethod, grpc.OnFinish(func(error) {
					s.trailer()
					s.header()
					c.tr.caller("context", s.Context().Err())
				}))
				synctest.Wait()
				s.recv()
			},
			want: "Aborted",
		},
	})
}

func TestHeaderTrailerPeerOptions(t *testing.T) {
	kept := func(what string) *metadata.MD {
		md := metadata.Pairs("key", what)
		return &md
	}
	answer := func(err error) handlers {
		return handlers{
			unary: func(ctx context.Context, in *message) (*message, error) {
				grpc.SetTrailer(ctx, metadata.Pairs("key", "trailer"))
				return in, err
			},
			stream: func(s *served) error {
				s.setTrailer(metadata.Pairs("key", "trailer"))
				s.sendHeader(metadata.Pairs("key", "header"))
				return err
			},
		}
	}
	// note notes what the options point to.
	note := func(c *call, header, trailer *metadata.MD, p *peer.Peer) {
		c.tr.caller("header", *header)
		c.tr.caller("trailer", *trailer)
		c.tr.caller("peer is known", p.Addr != nil)
	}
	unary := func(opts ...grpc.CallOption) func(context.Context, *call) {
		return func(ctx context.Context, c *call) {
			header, trailer, p := kept("old"), kept("old"), &peer.Peer{}
			opts := append([]grpc.CallOption{grpc.Header(header), grpc.Trailer(trailer), grpc.Peer(p)}, opts...)
			err := c.cc.Invoke(ctx, unaryMethod, text("a"), &message{}, opts...)
			c.tr.caller("status", err)
			note(c, header, trailer, p)
		}
	}
	compare(t, map[string]scenario{
		"of a unary call":            {handlers: answer(nil), call: unary(), want: "ok"},
		"of a unary call that fails": {handlers: answer(status.Error(codes.Aborted, "no")), call: unary(), want: "Aborted"},
		"of a call that can't begin": {handlers: answer(nil), call: unary(grpc.UseCompressor("no-such")), want: "Internal"},
		"of a call with a bad context": {
			handlers: answer(nil),
			call: func(ctx context.Context, c *call) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				unary()(ctx, c)
			},
			want: "Canceled",
		},
		"of a stream": {
			handlers: answer(nil),
			call: func(ctx context.Context, c *call) {
				header, trailer, p := kept("old"), kept("old"), &peer.Peer{}
				s := c.open(ctx, bidiMethod, grpc.Header(header), grpc.Trailer(trailer), grpc.Peer(p))
				synctest.Wait()
				note(c, header, trailer, p)
				s.finish()
				note(c, header, trailer, p)
				sp, ok := peer.FromContext(s.Context())
				c.tr.caller("the stream's peer is known", ok && sp.Addr != nil)
			},
			want: "EOF",
		},
	})
}

// TestPeer: both ways show the address of the other end.
func TestPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got net.Addr
		cc := connectTunnel(t, setup{}, func(r grpc.ServiceRegistrar) {
			handlers{unary: func(ctx context.Context, in *message) (*message, error) {
				if p, ok := peer.FromContext(ctx); ok {
					got = p.Addr
				}
				return in, nil
			}}.register(r, nil)
		})
		p := &peer.Peer{}
		if err := cc.Invoke(t.Context(), unaryMethod, text("a"), &message{}, grpc.Peer(p)); err != nil {
			t.Fatalf("a call: got %v, want no error", err)
		}
		if p.Addr == nil || p.Addr.String() != "bufconn" || got == nil || got.String() != "bufconn" {
			t.Errorf("the peers' addresses: got %v at the caller and %v at the handler, want bufconn", p.Addr, got)
		}
	})
}

// theirs is an option of an interceptor's, as go-grpc-middleware makes them.
type theirs struct {
	grpc.EmptyCallOption
	value string
}

// ours is an option that is one of gRPC's under another name.
type ours struct{ grpc.HeaderCallOption }

func TestOtherOptions(t *testing.T) {
	calling := func(opts func() []grpc.CallOption) scenario {
		return scenario{
			handlers: handlers{unary: echoUnary},
			call:     func(ctx context.Context, c *call) { c.unary(ctx, text("a"), opts()...) },
			want:     "ok",
		}
	}
	fixed := func(opts ...grpc.CallOption) scenario {
		return calling(func() []grpc.CallOption { return opts })
	}
	compare(t, map[string]scenario{
		"empty":                 fixed(grpc.EmptyCallOption{}),
		"static method":         fixed(grpc.StaticMethod()),
		"wait for ready":        fixed(grpc.WaitForReady(true)),
		"do not wait for ready": fixed(grpc.WaitForReady(true), grpc.WaitForReady(false)),
		"retry buffer":          fixed(grpc.MaxRetryRPCBufferSize(1)),
		"an interceptor's own":  fixed(theirs{value: "x"}, &theirs{value: "x"}),
		"one of gRPC's embedded": {
			handlers: handlers{unary: func(ctx context.Context, in *message) (*message, error) {
				return in, grpc.SetHeader(ctx, metadata.Pairs("key", "value"))
			}},
			call: func(ctx context.Context, c *call) {
				var header metadata.MD
				c.tr.caller("status", c.cc.Invoke(ctx, unaryMethod, text("a"), &message{}, ours{grpc.HeaderCallOption{HeaderAddr: &header}}))
				c.tr.caller("header", header)
			},
			want: "ok",
		},
	})
}

// TestRefusedOptions: an option that can't be honoured is refused by name,
// before anything is sent.
func TestRefusedOptions(t *testing.T) {
	cases := map[string]struct {
		option grpc.CallOption
		want   string
	}{
		"authority":   {grpc.CallAuthority("elsewhere"), "grpc.AuthorityOverrideCallOption"},
		"compressors": {experimental.AcceptCompressors("gzip"), "grpc.acceptCompressorsCallOption"},
		"nothing":     {struct{ grpc.CallOption }{}, "struct"},
	}
	synctest.Test(t, func(t *testing.T) {
		push := startTunnel(t, setup{}, func(r grpc.ServiceRegistrar) { handlers{unary: echoUnary, stream: echo}.register(r, nil) })
		for name, c := range cases {
			for session := range push.Sessions() {
				for where, cc := range map[string]grpc.ClientConnInterface{"name": push.Client(target), "session": session} {
					var finished []error
					opts := []grpc.CallOption{c.option, grpc.OnFinish(func(err error) { finished = append(finished, err) })}
					unary := cc.Invoke(t.Context(), unaryMethod, text("a"), &message{}, opts...)
					_, stream := cc.NewStream(t.Context(), descs[bidiMethod], bidiMethod, opts...)
					for _, err := range []error{unary, stream} {
						if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), c.want) || !tunnel.NotSent(err) {
							t.Errorf("option %s on a %s: got %v, want UNIMPLEMENTED, the name %s, and a call not sent", name, where, err, c.want)
						}
					}
					if diff := cmp.Diff([]string{unary.Error(), stream.Error()}, texts(finished)); diff != "" {
						t.Errorf("option %s on a %s: OnFinish got a difference (-want +got):\n%s", name, where, diff)
					}
				}
			}
		}
	})
}

func texts(errs []error) (all []string) {
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}
