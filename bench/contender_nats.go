package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsRequest is request and reply over a broker, the usual way round the
// problem. The broker is embedded; the caller and every client reach it over
// TCP. It carries bare bytes: there are no methods, statuses or stubs.
var natsRequest = contender{
	name: "NATS request/reply",
	listen: func(l link) (*end, error) {
		if l != (link{}) {
			return nil, errors.New("the broker's connections have no variants here")
		}
		broker, err := server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		})
		if err != nil {
			return nil, err
		}
		broker.Start()
		e := &end{close: func() error {
			broker.Shutdown()
			broker.WaitForShutdown()
			return nil
		}}
		if !broker.ReadyForConnections(10 * time.Second) {
			return nil, errors.Join(errors.New("the broker did not start"), e.close())
		}
		caller, err := nats.Connect(broker.ClientURL())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connect the caller: %w", err), e.close())
		}
		stop := e.close
		e.close = func() error {
			caller.Close()
			return stop()
		}
		e.addr = broker.ClientURL()
		// All but the caller.
		e.connected = func() int { return broker.NumClients() - 1 }
		e.call = func(ctx context.Context, name string, data []byte) ([]byte, error) {
			answer, err := caller.RequestWithContext(ctx, name, data)
			if err != nil {
				return nil, err
			}
			return answer.Data, nil
		}
		return e, nil
	},
	connect: func(_ link, addr string, names []string) (*end, error) {
		conns := make([]*nats.Conn, len(names))
		e := &end{close: func() error {
			for _, nc := range conns {
				if nc != nil {
					nc.Close()
				}
			}
			return nil
		}}
		err := each(len(names), dialsAtOnce, func(i int) error {
			nc, err := nats.Connect(addr)
			if err != nil {
				return err
			}
			conns[i] = nc
			// An error in Respond shows as a call without an answer.
			_, err = nc.Subscribe(names[i], func(m *nats.Msg) { _ = m.Respond(m.Data) })
			return errors.Join(err, nc.Flush())
		})
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		return e, nil
	},
}
