package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
)

// stream moves messages in one call for about duration. How many that are is
// known from the job's last time; at first they are few.
func (f *fleet) stream(j job, duration time.Duration) (sample, error) {
	const first = 200
	messages := first
	if rate := f.rates[j]; rate > 0 {
		messages = max(first, int(rate*duration.Seconds()))
	}
	ctx, cancel := withTimeout(j.Timeout)
	defer cancel()
	move := f.upload
	if j.Kind == download {
		move = f.download
	}
	started := time.Now()
	if err := move(ctx, messages, j.Size); err != nil {
		return sample{}, err
	}
	s := sample{Ops: messages, Elapsed: time.Since(started)}
	f.rates[j] = s.rate()
	return s, nil
}

// download has the first client send messages.
func (f *fleet) download(ctx context.Context, messages, size int) error {
	stream, err := f.caller.stub(f.names[0]).Download(ctx,
		&benchpb.DownloadRequest{Messages: uint32(messages), Size: uint32(size)})
	if err != nil {
		return err
	}
	for range messages {
		switch p, err := stream.Recv(); {
		case err != nil:
			return err
		case len(p.GetData()) != size:
			return fmt.Errorf("asked for %d bytes and got %d", size, len(p.GetData()))
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last message: got %w, want EOF", err)
	}
	return nil
}

// upload sends the first client messages.
func (f *fleet) upload(ctx context.Context, messages, size int) error {
	stream, err := f.caller.stub(f.names[0]).Upload(ctx)
	if err != nil {
		return err
	}
	message := &benchpb.Payload{Data: make([]byte, size)}
	for range messages {
		if err := stream.Send(message); err != nil {
			_, err = stream.CloseAndRecv() // it tells why
			return err
		}
	}
	reply, err := stream.CloseAndRecv()
	if err == nil && int(reply.GetMessages()) != messages {
		err = fmt.Errorf("sent %d messages, %d came", messages, reply.GetMessages())
	}
	return err
}

// callBeside makes calls while a stream sends data to the same client, on the
// same connection, and until that ends.
func (f *fleet) callBeside(j job) (sample, error) {
	ctx, cancel := withTimeout(j.Timeout)
	defer cancel()
	c := f.startCallers(j)
	err := f.upload(ctx, transferSize/transferMessage, transferMessage)
	c.stop()
	s, failed := c.wait(10 * time.Second)
	s.Moved = transferSize
	return s, errors.Join(err, failed)
}

// fanOut calls each client once. The time is until the last answer.
func (f *fleet) fanOut(j job) (sample, error) {
	const parallel = 64
	ctx, cancel := withTimeout(j.Timeout)
	defer cancel()
	data := make([]byte, j.Size)
	started := time.Now()
	var err error
	if f.caller.fanout != nil {
		err = f.caller.fanout(ctx, len(f.names), data)
	} else {
		err = each(len(f.names), parallel, func(i int) error { return f.call(ctx, f.names[i], data) })
	}
	return sample{Ops: len(f.names), Elapsed: time.Since(started)}, err
}
