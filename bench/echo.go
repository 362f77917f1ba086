package main

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/pushtunnel/pushtunnel/bench/benchpb"
)

// echoServer is the service behind every stub.
type echoServer struct {
	benchpb.UnimplementedEchoServer
}

func (echoServer) Call(_ context.Context, p *benchpb.Payload) (*benchpb.Payload, error) {
	return p, nil
}

func (echoServer) Download(r *benchpb.DownloadRequest, s grpc.ServerStreamingServer[benchpb.Payload]) error {
	p := &benchpb.Payload{Data: make([]byte, r.GetSize())}
	for range r.GetMessages() {
		if err := s.Send(p); err != nil {
			return err
		}
	}
	return nil
}

func (echoServer) Upload(s grpc.ClientStreamingServer[benchpb.Payload, benchpb.UploadReply]) error {
	var messages uint32
	for {
		switch _, err := s.Recv(); {
		case errors.Is(err, io.EOF):
			return s.SendAndClose(&benchpb.UploadReply{Messages: messages})
		case err != nil:
			return err
		}
		messages++
	}
}

func (echoServer) Chat(s grpc.BidiStreamingServer[benchpb.Payload, benchpb.Payload]) error {
	for {
		p, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := s.Send(p); err != nil {
			return err
		}
	}
}
