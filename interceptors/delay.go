package interceptors

import (
	"math"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/status"
)

// delay returns how long to wait after so many failures, 1 or more. asked is for
// how long the other side wants to be left alone; 0: it has not said. random is
// between 0 and 1.
func delay(c backoff.Config, failures int, asked time.Duration, random float64) time.Duration {
	d := float64(c.BaseDelay) * math.Pow(c.Multiplier, float64(failures-1))
	d = min(d, float64(c.MaxDelay)) * (1 + c.Jitter*(2*random-1))
	d = max(d, float64(asked)*(1+c.Jitter*random), 0)
	return time.Duration(min(d, math.MaxInt64/2))
}

// askedDelay returns the delay that an error's RetryInfo asks for, or 0.
func askedDelay(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return max(info.GetRetryDelay().AsDuration(), 0)
		}
	}
	return 0
}
