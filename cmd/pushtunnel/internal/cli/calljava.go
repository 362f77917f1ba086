package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fullstorydev/grpcurl"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/javajson"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/native/dynamic"
	dynamicpb "github.com/pushtunnel/pushtunnel/proto/pushtunnel/dynamic/v1"
)

// checkJava reports flags that do not go with --java.
func (c *callCommand) checkJava() error {
	switch {
	case c.Given():
		return usage(errors.New("--java is for clients without a schema: leave it out, or --proto and --protoset"))
	case c.Method == "":
		return usage(errors.New("--java needs a method: a Java client cannot say what it has"))
	}
	return nil
}

// javaMethod is the service and method of "package.Service/method" or
// "package.Service.method".
func javaMethod(s string) (service, method string) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		i = strings.LastIndexByte(s, '.')
	}
	if i < 0 {
		return "", s
	}
	return strings.TrimPrefix(s[:i], "/"), s[i+1:]
}

// invokeJava makes the call by the client's Java names, and prints the result.
func (c *callCommand) invokeJava(ctx context.Context, std Streams, cc *grpc.ClientConn, headers []string, data io.Reader) error {
	text, err := io.ReadAll(data)
	if err != nil {
		return usage(err)
	}
	args, err := javajson.ParseArgs(text)
	if err != nil {
		return usage(fmt.Errorf("-d: %w", err))
	}
	var header, trailer metadata.MD
	ctx = metadata.NewOutgoingContext(ctx, grpcurl.MetadataFromHeaders(headers))
	service, method := javaMethod(c.Method)
	result, err := dynamic.Invoke(ctx, cc, service, method, args, grpc.Header(&header), grpc.Trailer(&trailer))
	if c.Verbose {
		printMetadata(std.Err, "header", header)
		printMetadata(std.Err, "trailer", trailer)
	}
	if err != nil {
		return c.javaError(err, trailer)
	}
	out, err := javajson.Format(result)
	if err != nil {
		return err
	}
	if std.terminal() {
		var b bytes.Buffer
		if json.Indent(&b, out, "", "  ") == nil {
			out = b.Bytes()
		}
	}
	fmt.Fprintf(std.Out, "%s\n", out)
	return nil
}

// javaError is the end of a call that has failed.
func (c *callCommand) javaError(err error, trailer metadata.MD) error {
	st := status.Convert(err)
	if st.Code() == codes.Unimplemented && strings.Contains(st.Message(), dynamicpb.Dynamic_ServiceDesc.ServiceName) {
		// The server has forwarded the call as it is.
		return usage(errors.New("the server has no Java clients: start it with --native-listen"))
	}
	end := &callError{status: st}
	if v := trailer[gateway.OutcomeKey]; len(v) > 0 {
		end.outcome = v[0]
	}
	// Without an outcome the deadline has passed here, before the server said so.
	if st.Code() == codes.DeadlineExceeded && (end.outcome == "unknown" || end.outcome == "" && !c.Wait) {
		return fmt.Errorf("%w\nJava clients do not answer methods that they do not have, that fail or return nothing, and arguments that do not fit", end)
	}
	return end
}
