package conformance

import (
	"testing"

	"github.com/fullstorydev/grpchan/grpchantesting"
	"google.golang.org/grpc"
)

// TestGrpchan runs the cases of github.com/fullstorydev/grpchan. They make
// subtests, which a bubble can't have, so they take a second of real time.
func TestGrpchan(t *testing.T) {
	for _, w := range allWays {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			cc := w.connect(t, setup{}, func(r grpc.ServiceRegistrar) {
				grpchantesting.RegisterTestServiceServer(r, &grpchantesting.TestServer{})
			})
			grpchantesting.RunChannelTestCases(t, cc, true)
		})
	}
}
