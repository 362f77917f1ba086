package native

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pushtunnel/pushtunnel/internal/bufpool"
	"github.com/pushtunnel/pushtunnel/native/java"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// dialed is the dialling end of a session.
type dialed struct {
	*link
	served *methods // those that the client serves
}

// open opens the connections of a session, and registers them if the client has a
// name.
func (e *Endpoint) open(ctx context.Context, cfg tunnel.Config) (*link, error) {
	served, err := servedMethods(cfg.Services)
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	cfg.Remote.Protocol = e.opts.name
	var d *dialed
	n := e.opts.conns
	if cfg.Remote.Name == "" {
		n = 1
	}
	process := rand.Int64() //nolint:gosec // it tells processes apart, no more
	for i := range n {
		nc, err := e.opts.dial(ctx, e.addr)
		if err != nil {
			err = status.Errorf(codes.Unavailable, "pushtunnel: %v", err)
			if d != nil {
				d.Close(err)
				d.readers.Wait()
			}
			return nil, err
		}
		if i == 0 {
			cfg.Remote.Addr = nc.RemoteAddr()
			cfg = cfg.WithDefaults()
			d = &dialed{link: newLink(clientRole, e.opts, withoutStats(&cfg), e.calls), served: served}
			d.open(cfg.OnEnd, cfg.OnGoAway)
		}
		c := newConn(context.Background(), nc, clientRole, e.opts, &cfg)
		c.logID = process
		d.readers.Go(func() { d.read(c) })
		if !d.add(c) {
			c.close(c.lost(nil))
			return nil, d.failure()
		}
		if cfg.Remote.Name == "" {
			continue
		}
		if err := c.register(ctx, cfg.Remote.Name); err != nil {
			d.Close(err)
			d.readers.Wait()
			return nil, err
		}
	}
	if e.opts.keepAlive > 0 {
		d.readers.Go(d.keepAlive)
	}
	return d.link, nil
}

// failure is why a session has ended before it was open.
func (d *dialed) failure() error {
	if err := d.Err(); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "pushtunnel: the server has closed the connection")
}

// servedMethods compiles what a client serves.
func servedMethods(services *tunnel.Services) (*methods, error) {
	ms := &methods{}
	if services == nil {
		return ms, nil
	}
	for name := range services.GetServiceInfo() {
		if err := ms.add(&grpc.ServiceDesc{ServiceName: name}); err != nil {
			return nil, err
		}
	}
	return ms, nil
}

// read reads a connection of the session until it ends. The session ends with it.
func (d *dialed) read(c *conn) {
	began := time.Now()
	c.take = func(h Head, body *[]byte) error {
		switch h.Type {
		case TypeResponse, TypeRegisterResponse:
			c.complete(h, body)
			return nil
		case TypePush:
			c.serve(d.served, d.link, h, body)
			return nil
		default:
			bufpool.Pool.Put(body)
			return fmt.Errorf("a frame of %v, which servers do not send", h.Type)
		}
	}
	err := c.read()
	d.end(closedBy(err, time.Since(began)), c.lost(err))
}

// soon is how long a client waits before it connects again to a server that has
// closed a connection in order.
const soon = 50 * time.Millisecond

// closedBy is why a session has ended whose connection has, after so long. A Java
// server closes what is silent for a minute: then the client comes back at once.
func closedBy(err error, lasted time.Duration) error {
	if err != nil {
		return status.Errorf(codes.Unavailable, "pushtunnel: the connection to the server was lost: %v", err)
	}
	st := status.New(codes.Unavailable, "pushtunnel: the server has closed the connection")
	if lasted > 5*time.Second {
		if hinted, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(soon)}); err == nil {
			st = hinted
		}
	}
	return st.Err()
}

// register tells the server the client's name, and waits until it is known if the
// server says so.
func (c *conn) register(ctx context.Context, name string) error {
	if c.opts.registration == OneWay {
		return c.registerOneWay(name)
	}
	frame := registerFrame(c.opts, name)
	defer bufpool.Pool.Put(frame)
	answer, err := c.roundTrip(ctx, TypeRequest, frame, c.opts.registerWait, nil)
	switch {
	case err == nil:
		defer bufpool.Pool.Put(answer)
		return parseRegisterResult(*answer)
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		c.opts.logger.Warn("server does not acknowledge registrations", "addr", c.nc.RemoteAddr())
		return c.registerOneWay(name)
	default:
		return err
	}
}

func (c *conn) registerOneWay(name string) error {
	if err := c.sendLast(TypeRegister, c.calls.id(), registerFrame(c.opts, name)); err != nil {
		return notSent(err)
	}
	return nil
}

func registerFrame(o *options, name string) *[]byte {
	params, _ := java.AppendArgs(nil, []any{name}) // a string can always be encoded
	body := java.Body{Service: registerService, Method: registerMethod, Parameters: params}
	b := o.newFrame(len(params))
	*b = body.Append(*b)
	return b
}

// parseRegisterResult reads the answer to a registration. An answer of another
// kind is as good as success: the method has run.
func parseRegisterResult(b []byte) error {
	body, err := java.ParseBody(b)
	if err != nil {
		return status.Errorf(codes.Internal, "pushtunnel: the answer to the registration cannot be read: %v", err)
	}
	value, err := java.Parse(body.Content, java.Limits{})
	result, ok := value.(java.POJO)
	if err != nil || !ok {
		return nil //nolint:nilerr // see above
	}
	code, text := uint64(0), ""
	for _, f := range result.Fields {
		switch {
		case f.Number == 1 && f.Type == protowire.VarintType:
			code, _ = protowire.ConsumeVarint(f.Value)
		case f.Number == 2 && f.Type == protowire.BytesType:
			text = java.DecodeString(f.Value)
		}
	}
	if code != 0 {
		return status.Errorf(codes.FailedPrecondition, "pushtunnel: the server refuses the registration: %s (code %d)", text, int32(code)) //nolint:gosec // a Java int
	}
	return nil
}

// keepAlive sends an answer to no call at an interval: a Java server finds no call
// of that id and does not read the body, so it must be empty.
func (d *dialed) keepAlive() {
	t := time.NewTicker(d.opts.keepAlive)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-d.done:
			return
		}
		d.mu.Lock()
		conns := append([]*conn(nil), d.conns...)
		d.mu.Unlock()
		for _, c := range conns {
			c.sendLast(TypePushResponse, -1, d.opts.newFrame(0)) //nolint:errcheck // then the session is about to end
		}
	}
}
