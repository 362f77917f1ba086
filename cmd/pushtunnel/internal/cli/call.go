package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fullstorydev/grpcurl"
	"github.com/jhump/protoreflect/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pushtunnel/pushtunnel/cmd/pushtunnel/internal/schema"
	"github.com/pushtunnel/pushtunnel/gateway"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

type callCommand struct {
	Name   string `arg:"" help:"The client's name."`
	Method string `arg:"" optional:"" help:"The method, package.Service/Method. Without one, what the client has is listed."`

	Data      string        `short:"d" sep:"none" placeholder:"JSON" help:"The request, or several one after the other for a stream. @FILE reads a file, @ the standard input. Default: an empty one."`
	Header    []string      `short:"H" sep:"none" placeholder:"'KEY: VALUE'" help:"Metadata. May be repeated."`
	Timeout   time.Duration `short:"t" help:"The deadline. 0: none."`
	Namespace string        `short:"n" env:"PUSHTUNNEL_NAMESPACE" help:"The client's namespace."`
	Session   string        `placeholder:"ID" help:"The one session that is meant, by its id."`
	Selector  string        `short:"l" placeholder:"SELECTOR" help:"What the session's labels must meet, as zone=eu."`
	Wait      bool          `short:"w" help:"Wait for the client to connect."`
	Verbose   bool          `short:"v" help:"Print header and trailer, too, on the standard error."`
	Defaults  bool          `help:"Print fields that have their default values, too."`
	Java      bool          `help:"Call a Java client without a schema, by its Java names. -d is a JSON array of the arguments: see docs/CLI.md."`

	schema.Files `embed:"" group:"Schema, if the client has no reflection"`
	target       `embed:""`
}

// Help is what --help adds.
func (callCommand) Help() string {
	return `The answer is printed as JSON, a message of a stream after the other: on a line each when nobody looks at a
terminal. An error is printed on the standard error, with its code and its details.

A Java client without a schema: pushtunnel call NAME com.example.Api/hi --java -d '["bob", 7]'`
}

// Run makes the call.
func (c *callCommand) Run(ctx context.Context, std Streams) error {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	headers, err := c.headers()
	if err != nil {
		return usage(err)
	}
	data, err := c.data(std.In)
	if err != nil {
		return usage(err)
	}
	if c.Java {
		if err := c.checkJava(); err != nil {
			return err
		}
	}
	cc, stop, err := c.caller(
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(c.address(ctx), method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return stream(c.address(ctx), d, cc, method, opts...)
		}))
	if err != nil {
		return err
	}
	defer stop()
	if c.Java {
		return c.invokeJava(ctx, std, cc, headers, data)
	}
	source, end, err := c.source(ctx, cc)
	if err != nil {
		return err
	}
	defer end()
	if c.Method == "" {
		return c.list(std, source)
	}
	return c.invoke(ctx, std, cc, source, headers, data)
}

// address says whom a call is for.
func (c *callCommand) address(ctx context.Context) context.Context {
	pairs := []string{}
	add := func(key, value string) {
		if value != "" {
			pairs = append(pairs, sendable(key, value), value)
		}
	}
	add(gateway.ClientKey, c.Name)
	add(gateway.NamespaceKey, c.Namespace)
	add(gateway.SessionKey, c.Session)
	add(gateway.LabelsKey, c.Selector)
	if c.Wait {
		add(gateway.WaitKey, "true")
	}
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// sendable returns the key under which a value goes.
func sendable(key, value string) string {
	printable := func(r rune) bool { return r < ' ' || r > '~' }
	if strings.TrimSpace(value) != value || strings.ContainsFunc(value, printable) {
		return key + "-bin"
	}
	return key
}

// headers checks the metadata.
func (c *callCommand) headers() ([]string, error) {
	for _, h := range c.Header {
		if key, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(key) == "" {
			return nil, fmt.Errorf("-H %q: write 'key: value'", h)
		}
	}
	return c.Header, nil
}

// data is where the requests are.
func (c *callCommand) data(in io.Reader) (io.Reader, error) {
	path, file := strings.CutPrefix(c.Data, "@")
	switch {
	case c.Data == "@" || c.Data == "-" || c.Data == "@-":
		return in, nil
	case file:
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("-d: %w", err)
		}
		return bytes.NewReader(data), nil
	}
	return strings.NewReader(c.Data), nil
}

// source finds out what the client serves: from files, or by asking it.
func (c *callCommand) source(ctx context.Context, cc *grpc.ClientConn) (s grpcurl.DescriptorSource, end func(), err error) {
	if !c.Given() {
		r := grpcreflect.NewClientAuto(ctx, cc)
		r.AllowMissingFileDescriptors()
		return grpcurl.DescriptorSourceFromServer(ctx, r), r.Reset, nil
	}
	known, err := c.Read()
	if err == nil {
		s, err = known.Source()
	}
	return s, func() {}, usage(err)
}

// list prints the methods that there are.
func (c *callCommand) list(std Streams, source grpcurl.DescriptorSource) error {
	services, err := grpcurl.ListServices(source)
	if err != nil {
		return c.schemaError(err)
	}
	slices.Sort(services)
	for _, s := range services {
		methods, err := grpcurl.ListMethods(source, s)
		if err != nil {
			return c.schemaError(err)
		}
		for _, m := range methods {
			i := strings.LastIndexByte(m, '.')
			fmt.Fprintf(std.Out, "%s/%s\n", m[:i], m[i+1:])
		}
	}
	return nil
}

// schemaError says what to do if the client cannot say what it has.
func (c *callCommand) schemaError(err error) error {
	if errors.Is(err, grpcurl.ErrReflectionNotSupported) || status.Code(err) == codes.Unimplemented {
		return usage(fmt.Errorf("%q has no reflection to say what it serves: use --proto or --protoset, or --java if it is a Java client", c.Name))
	}
	if st, ok := status.FromError(err); ok { // the call itself was not made
		return &callError{status: st, outcome: tunnel.OutcomeNotSent.String()}
	}
	return err
}

// invoke makes the call and prints what comes.
func (c *callCommand) invoke(ctx context.Context, std Streams, cc *grpc.ClientConn, source grpcurl.DescriptorSource, headers []string, data io.Reader) error {
	if _, err := source.FindSymbol(serviceOf(c.Method)); err != nil {
		if _, ok := status.FromError(err); ok || errors.Is(err, grpcurl.ErrReflectionNotSupported) {
			return c.schemaError(err)
		}
		return usage(fmt.Errorf("%q has no service %q; see pushtunnel call %s", c.Name, serviceOf(c.Method), c.Name))
	}
	parser, format, err := grpcurl.RequestParserAndFormatter(grpcurl.FormatJSON, source, data, grpcurl.FormatOptions{EmitJSONDefaultFields: c.Defaults})
	if err != nil {
		return usage(err)
	}
	if !std.terminal() {
		format = compact(format)
	}
	h := &callHandler{DefaultEventHandler: &grpcurl.DefaultEventHandler{Out: std.Out, Formatter: format}}
	if c.Verbose {
		h.verbose = std.Err
	}
	if err := grpcurl.InvokeRPC(ctx, source, cc, c.Method, headers, h, parser.Next); err != nil {
		if _, ok := status.FromError(err); ok {
			return asCall(err)
		}
		return usage(err) // the method, or the request's JSON
	}
	if h.Status.Code() == codes.OK {
		return nil
	}
	printDetails(std.Err, h.Status)
	end := &callError{status: h.Status, outcome: h.outcome}
	if end.status.Code() == codes.Unimplemented && strings.Contains(end.status.Message(), "has no Java form") {
		return fmt.Errorf("%w\nthe server does not know the service: give it the same file as --native-proto or --native-protoset, or call with --java and without a schema", end)
	}
	return end
}

// serviceOf is the service in "package.Service/Method" or "package.Service.Method".
func serviceOf(method string) string {
	if i := strings.LastIndexAny(method, "/."); i >= 0 {
		return strings.TrimPrefix(method[:i], "/")
	}
	return method
}

// compact prints JSON on one line.
func compact(f grpcurl.Formatter) grpcurl.Formatter {
	return func(m protoMessage) (string, error) {
		text, err := f(m)
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		err = json.Compact(&b, []byte(text))
		return b.String(), err
	}
}

// callHandler prints the answers, and keeps the end.
type callHandler struct {
	*grpcurl.DefaultEventHandler
	verbose io.Writer // nil: not
	outcome string
}

func (h *callHandler) OnReceiveHeaders(md metadata.MD) { h.print("header", md) }

func (h *callHandler) OnReceiveTrailers(s *status.Status, md metadata.MD) {
	h.DefaultEventHandler.OnReceiveTrailers(s, md)
	if v := md[gateway.OutcomeKey]; len(v) > 0 {
		h.outcome = v[0]
	}
	h.print("trailer", md)
}

func (h *callHandler) print(what string, md metadata.MD) {
	if h.verbose != nil {
		printMetadata(h.verbose, what, md)
	}
}

func printMetadata(w io.Writer, what string, md metadata.MD) {
	for line := range strings.Lines(grpcurl.MetadataToString(md)) {
		fmt.Fprintf(w, "%s %s\n", what, strings.TrimSpace(line))
	}
}

// printDetails prints the details of a status, a line of JSON each.
func printDetails(w io.Writer, s *status.Status) {
	for _, d := range s.Proto().GetDetails() {
		data, err := protojson.Marshal(d)
		if err != nil {
			data = fmt.Appendf(nil, "%s, %d bytes", d.GetTypeUrl(), len(d.GetValue()))
		}
		var b bytes.Buffer
		if json.Compact(&b, data) == nil {
			data = b.Bytes()
		}
		fmt.Fprintf(w, "detail %s\n", data)
	}
}
