package tunnel

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// callOptions are the grpc.CallOptions of one call.
type callOptions struct {
	format
	maxRecv, maxSend int
	wait             bool // for a session
	*rareOptions          // never nil; noRareOptions if there are none
}

// rareOptions are those that most calls do without. They are apart so that a
// call stays small.
type rareOptions struct {
	header, trailer *metadata.MD
	peer            *peer.Peer
	onFinish        []func(error)
	creds           credentials.PerRPCCredentials
	compressorName  string
	forced          encoding.CodecV2 // by the user, whatever the subtype
	named           bool             // forced has a name that is a subtype
}

// noRareOptions is shared, and never changes.
var noRareOptions = &rareOptions{}

// rare returns the rare options, to be changed.
func (o *callOptions) rare() *rareOptions {
	if o.rareOptions == noRareOptions {
		o.rareOptions = &rareOptions{}
	}
	return o.rareOptions
}

// parseOptions reads the options of a call. Each is honoured or refused, in
// words that name it. WaitForReady is honoured by who picks the session: a
// session that exists is ready.
func (cfg *Config) parseOptions(opts []grpc.CallOption) (o callOptions, err error) {
	o = callOptions{
		format: *plainFormat(), maxRecv: cfg.MaxRecvMsgSize, maxSend: math.MaxInt32, rareOptions: noRareOptions,
	}
	for _, opt := range opts {
		if err := o.set(opt); err != nil {
			return o, err
		}
	}
	return o, o.chooseCodec()
}

// tellFinished runs the OnFinish functions of a call that came to nothing.
func tellFinished(opts []grpc.CallOption, err error) {
	for _, opt := range opts {
		if opt, ok := opt.(grpc.OnFinishCallOption); ok {
			opt.OnFinish(err)
		}
	}
}

func (o *callOptions) set(opt grpc.CallOption) error {
	switch opt := opt.(type) {
	case grpc.HeaderCallOption:
		o.rare().header = opt.HeaderAddr
	case grpc.TrailerCallOption:
		o.rare().trailer = opt.TrailerAddr
	case grpc.PeerCallOption:
		o.rare().peer = opt.PeerAddr
	case grpc.OnFinishCallOption:
		o.rare().onFinish = append(o.rare().onFinish, opt.OnFinish)
	case grpc.MaxRecvMsgSizeCallOption:
		o.maxRecv = opt.MaxRecvMsgSize
	case grpc.MaxSendMsgSizeCallOption:
		o.maxSend = opt.MaxSendMsgSize
	case grpc.PerRPCCredsCallOption:
		o.rare().creds = opt.Creds
	case grpc.CompressorCallOption:
		return o.setCompressor(opt.CompressorType)
	case grpc.ContentSubtypeCallOption:
		o.subtype = strings.ToLower(opt.ContentSubtype)
	case grpc.ForceCodecCallOption:
		o.rare().forced, o.rare().named = codecV1{opt.Codec}, true
	case grpc.ForceCodecV2CallOption:
		o.rare().forced, o.rare().named = opt.CodecV2, true
	case grpc.CustomCodecCallOption:
		o.rare().forced, o.rare().named = codecV1{opt.Codec}, false
	case grpc.FailFastCallOption:
		o.wait = !opt.FailFast
	case grpc.StaticMethodCallOption, grpc.EmptyCallOption:
		// Nothing to do.
	case grpc.MaxRetryRPCBufferSizeCallOption:
		// Only calls that were never sent are tried again; they need no buffer.
	case grpc.AuthorityOverrideCallOption:
		return refuse(opt, "a tunnel has no authority; send metadata instead")
	default:
		inner := embedded(opt)
		if inner == nil {
			return refuse(opt, "remove it, or open an issue if you need it")
		}
		return o.set(inner)
	}
	return nil
}

// embedded returns the option that a type of somebody else's embeds, which is
// the only way to make one: grpc.EmptyCallOption in those that interceptors look
// for.
func embedded(opt grpc.CallOption) grpc.CallOption {
	v := reflect.Indirect(reflect.ValueOf(opt))
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		if f := v.Field(i); v.Type().Field(i).Anonymous && f.CanInterface() {
			if inner, ok := f.Interface().(grpc.CallOption); ok {
				return inner
			}
		}
	}
	return nil
}

func refuse(opt grpc.CallOption, advice string) error {
	return status.Errorf(codes.Unimplemented, "pushtunnel: call option %s does not work through a tunnel: %s", optionName(opt), advice)
}

func optionName(opt grpc.CallOption) string { return strings.TrimPrefix(fmt.Sprintf("%T", opt), "*") }

func (o *callOptions) setCompressor(name string) error {
	o.rare().compressorName, o.compressor = "", nil
	if name == "" || name == encoding.Identity {
		return nil
	}
	if o.compressor = encoding.GetCompressor(name); o.compressor == nil {
		return status.Errorf(codes.Internal, "grpc: Compressor is not installed for requested grpc-encoding %q", name)
	}
	o.rare().compressorName = name
	return nil
}

// chooseCodec settles what the options said about codec and subtype.
func (o *callOptions) chooseCodec() error {
	switch {
	case o.forced != nil:
		o.codec, o.stock = o.forced, false
		if o.subtype == "" && o.named {
			o.subtype = strings.ToLower(o.forced.Name())
		}
	case o.subtype != "":
		o.stock = false
		if o.codec = codecFor(o.subtype); o.codec == nil {
			return status.Errorf(codes.Internal, "no codec registered for content-subtype %s", o.subtype)
		}
	}
	if o.subtype == proto.Name {
		o.subtype = ""
	}
	return nil
}

// credentialsMetadata asks the call's credentials for their metadata. It may
// block until ctx ends.
func (o *callOptions) credentialsMetadata(ctx context.Context, cfg *Config, fullMethod string) (metadata.MD, error) {
	if o.creds == nil {
		return nil, nil
	}
	auth := cfg.Peer.AuthInfo
	if o.creds.RequireTransportSecurity() && credentials.CheckSecurityLevel(auth, credentials.PrivacyAndIntegrity) != nil {
		return nil, status.Error(codes.Unauthenticated, "transport: cannot send secure credentials on an insecure connection")
	}
	service := fullMethod
	if i := strings.LastIndexByte(service, '/'); i > 0 {
		service = service[:i]
	}
	ctx = credentials.NewContextWithRequestInfo(ctx, credentials.RequestInfo{Method: fullMethod, AuthInfo: auth})
	pairs, err := o.creds.GetRequestMetadata(ctx, "https://"+cfg.Remote.Name+service)
	if err != nil {
		st, ok := status.FromError(err)
		switch {
		case !ok:
			return nil, status.Errorf(codes.Internal, "transport: per-RPC creds failed due to error: %v", err)
		case illegalForCredentials(st.Code()):
			return nil, status.Errorf(codes.Internal, "transport: received per-RPC creds error with illegal status: %v", err)
		}
		return nil, err
	}
	md := make(metadata.MD, len(pairs))
	for k, v := range pairs {
		md.Set(k, v)
	}
	if err := checkMetadata(md); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return md, nil
}

// illegalForCredentials reports whether a status code is for handlers to use:
// gRFC A54.
func illegalForCredentials(c codes.Code) bool {
	switch c {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition,
		codes.Aborted, codes.OutOfRange, codes.DataLoss:
		return true
	default:
		return false
	}
}
