package device

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/schema"
)

// Device serves calls. It does not change while it does.
type Device struct {
	// Name is the client's name.
	Name string
	// Schema are the services that it knows. Messages of others are bytes. It may be
	// nil.
	Schema *schema.Schema
	// Answers answer. If nil, each call gets an empty message.
	Answers Answerer
	// Delay is how long each call waits before its first answer.
	Delay time.Duration
	// Fail, if not nil, is what calls end with, without an answer.
	Fail error
	// Events gets what happens, of many calls at a time.
	Events func(Event)

	calls atomic.Int64
}

// Event is a message that has come, or the end of a call.
type Event struct {
	Time time.Time
	// Call numbers the calls, from 1.
	Call int64
	// Method is "package.Service/Method".
	Method string
	// Metadata is set with the first event of a call.
	Metadata metadata.MD
	// JSON is a message, if its schema is known, and Bytes is one otherwise.
	JSON  []byte
	Bytes []byte
	// End is set at the end of a call.
	End *status.Status
}

// Answerer answers a call: it receives and sends what it likes.
type Answerer interface {
	Answer(c *Call) error
}

// Call is a call that is being answered. One goroutine may receive while another sends.
type Call struct {
	// Device is who answers, Number that of the call, from 1.
	Device *Device
	Number int64
	// Method is "package.Service/Method". Descriptor is nil if it is not known.
	Method     string
	Descriptor protoreflect.MethodDescriptor
	Metadata   metadata.MD

	stream grpc.ServerStream
	told   atomic.Bool
	waited bool // the sender's
}

// Context returns the call's context.
func (c *Call) Context() context.Context { return c.stream.Context() }

// Handle serves a call: it is a grpc.StreamHandler.
func (d *Device) Handle(_ any, s grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(s)
	c := &Call{Device: d, Number: d.calls.Add(1), Method: strings.TrimPrefix(full, "/"), stream: s}
	if d.Schema != nil {
		c.Descriptor = d.Schema.Method(full)
	}
	c.Metadata, _ = metadata.FromIncomingContext(s.Context())
	err := d.answer(c)
	end := status.New(codes.OK, "")
	if err != nil {
		end = status.Convert(err)
	}
	c.tell(Event{End: end})
	return err
}

func (d *Device) answer(c *Call) error {
	if d.Fail != nil {
		if _, err := c.Receive(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := c.wait(); err != nil {
			return err
		}
		return d.Fail
	}
	if d.Answers == nil {
		return Empty{}.Answer(c)
	}
	return d.Answers.Answer(c)
}

// wait waits for the device's delay, the first time.
func (c *Call) wait() error {
	if c.waited || c.Device.Delay <= 0 {
		return nil
	}
	c.waited = true
	t := time.NewTimer(c.Device.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.Context().Done():
		return status.FromContextError(c.Context().Err()).Err()
	}
}

func (c *Call) tell(e Event) {
	e.Time, e.Call, e.Method = time.Now(), c.Number, c.Method
	if !c.told.Swap(true) {
		e.Metadata = c.Metadata
	}
	if c.Device.Events != nil {
		c.Device.Events(e)
	}
}

// Receive receives a message and tells of it: its JSON if its schema is known,
// otherwise its bytes. It returns io.EOF after the last.
func (c *Call) Receive() ([]byte, error) {
	if c.Descriptor == nil {
		m := new(emptypb.Empty) // knows no fields, and keeps them all
		if err := c.stream.RecvMsg(m); err != nil {
			return nil, err
		}
		data := []byte(m.ProtoReflect().GetUnknown())
		c.tell(Event{Bytes: data})
		return data, nil
	}
	m := dynamicpb.NewMessage(c.Descriptor.Input())
	if err := c.stream.RecvMsg(m); err != nil {
		return nil, err
	}
	data, err := toJSON(m)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "pushtunnel: the request as JSON: %v", err)
	}
	c.tell(Event{JSON: data})
	return data, nil
}

// Send sends an answer, in the form in which Receive has messages.
func (c *Call) Send(data []byte) error {
	if err := c.wait(); err != nil {
		return err
	}
	if c.Descriptor == nil {
		m := new(emptypb.Empty)
		if err := proto.Unmarshal(data, m); err != nil {
			return status.Errorf(codes.Internal, "pushtunnel: the answer is no message: %v", err)
		}
		return c.stream.SendMsg(m)
	}
	m := dynamicpb.NewMessage(c.Descriptor.Output())
	if err := (protojson.UnmarshalOptions{Resolver: types(c.Device.Schema)}).Unmarshal(data, m); err != nil {
		return status.Errorf(codes.Internal, "pushtunnel: the answer is no %s: %v", c.Descriptor.Output().FullName(), err)
	}
	return c.stream.SendMsg(m)
}

// streamsRequests reports whether more than one message may come.
func (c *Call) streamsRequests() bool { return c.Descriptor == nil || c.Descriptor.IsStreamingClient() }

// streamsAnswers reports whether another number of messages than one may be sent.
func (c *Call) streamsAnswers() bool { return c.Descriptor == nil || c.Descriptor.IsStreamingServer() }

// Empty answers with an empty message, when all of the request has come. Each message
// of a stream in both directions gets one.
type Empty struct{}

// Answer answers a call.
func (Empty) Answer(c *Call) error {
	empty := []byte("{}")
	if c.Descriptor == nil {
		empty = nil
	}
	each := c.Descriptor != nil && c.Descriptor.IsStreamingClient() && c.Descriptor.IsStreamingServer()
	for {
		switch _, err := c.Receive(); {
		case errors.Is(err, io.EOF) && each:
			return nil
		case errors.Is(err, io.EOF):
			return c.Send(empty)
		case err != nil:
			return err
		}
		if each || !c.streamsRequests() {
			if err := c.Send(empty); err != nil || !each {
				return err
			}
		}
	}
}
