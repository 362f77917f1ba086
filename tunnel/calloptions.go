package tunnel

import (
	"context"
	"fmt"
	"math"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// callOptions are the grpc.CallOptions of one call.
type callOptions struct {
	format
	maxRecv, maxSend int
	header, trailer  *metadata.MD
	peer             *peer.Peer
	onFinish         []func(error)
	creds            credentials.PerRPCCredentials
	compressorName   string
}

// parseOptions reads the options of a call. Each is honoured or refused, in
// words that name it. WaitForReady is honoured by who picks the session: a
// session that exists is ready.
func (cfg *Config) parseOptions(opts []grpc.CallOption) (o callOptions, err error) {
	o = callOptions{format: format{codec: protoCodec}, maxRecv: cfg.MaxRecvMsgSize, maxSend: math.MaxInt32}
	for _, opt := range opts {
		if err := o.set(opt); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *callOptions) set(opt grpc.CallOption) error {
	switch opt := opt.(type) {
	case grpc.HeaderCallOption:
		o.header = opt.HeaderAddr
	case grpc.TrailerCallOption:
		o.trailer = opt.TrailerAddr
	case grpc.PeerCallOption:
		o.peer = opt.PeerAddr
	case grpc.OnFinishCallOption:
		o.onFinish = append(o.onFinish, opt.OnFinish)
	case grpc.MaxRecvMsgSizeCallOption:
		o.maxRecv = opt.MaxRecvMsgSize
	case grpc.MaxSendMsgSizeCallOption:
		o.maxSend = opt.MaxSendMsgSize
	case grpc.PerRPCCredsCallOption:
		o.creds = opt.Creds
	case grpc.CompressorCallOption:
		return o.setCompressor(opt.CompressorType)
	case grpc.ContentSubtypeCallOption:
		return o.setSubtype(opt.ContentSubtype)
	case grpc.ForceCodecCallOption:
		return o.setCodec(codecV1{opt.Codec}, opt.Codec.Name())
	case grpc.ForceCodecV2CallOption:
		return o.setCodec(opt.CodecV2, opt.CodecV2.Name())
	case grpc.CustomCodecCallOption:
		return o.setCodec(codecV1{opt.Codec}, opt.Codec.String())
	case grpc.FailFastCallOption, grpc.StaticMethodCallOption, grpc.EmptyCallOption:
		// Nothing to do on a session that exists.
	case grpc.MaxRetryRPCBufferSizeCallOption:
		// Only calls that were never sent are tried again; they need no buffer.
	case grpc.AuthorityOverrideCallOption:
		return refuse(opt, "a tunnel has no authority; send metadata instead")
	default:
		return refuse(opt, "remove it, or open an issue if you need it")
	}
	return nil
}

func refuse(opt grpc.CallOption, advice string) error {
	return status.Errorf(codes.Unimplemented, "pushtunnel: call option %s does not work through a tunnel: %s", optionName(opt), advice)
}

func optionName(opt grpc.CallOption) string { return strings.TrimPrefix(fmt.Sprintf("%T", opt), "*") }

func (o *callOptions) setCompressor(name string) error {
	o.compressorName, o.compressor = "", nil
	if name == "" || name == encoding.Identity {
		return nil
	}
	if o.compressor = encoding.GetCompressor(name); o.compressor == nil {
		return status.Errorf(codes.Internal, "grpc: Compressor is not installed for requested grpc-encoding %q", name)
	}
	o.compressorName = name
	return nil
}

func (o *callOptions) setSubtype(subtype string) error {
	c := codecFor(subtype)
	if c == nil {
		return status.Errorf(codes.Internal, "no codec registered for content-subtype %s", subtype)
	}
	return o.setCodec(c, subtype)
}

func (o *callOptions) setCodec(c encoding.CodecV2, subtype string) error {
	o.codec, o.subtype = c, strings.ToLower(subtype)
	if o.subtype == protoCodec.Name() {
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
		if st, ok := status.FromError(err); ok {
			return nil, st.Err()
		}
		return nil, status.Errorf(codes.Unauthenticated, "transport: per-RPC creds failed due to error: %v", err)
	}
	md := make(metadata.MD, len(pairs))
	for k, v := range pairs {
		md.Append(k, v)
	}
	return md, nil
}
