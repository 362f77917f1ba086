package metrics

// Option sets up Metrics.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	maxNamespaces int
	maxMethods    int
	buckets       []float64
}

func defaults() options {
	return options{
		maxNamespaces: 100,
		maxMethods:    500,
		buckets:       []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}
}

// WithMaxNamespaces sets how many namespaces have series of their own: the first that
// have a session. The others are counted together as namespace "other". The default
// is 100; with 0 all are.
func WithMaxNamespaces(n int) Option { return optionFunc(func(o *options) { o.maxNamespaces = n }) }

// WithMaxMethods sets how many methods have series of their own: the first that are
// called. The others are counted together as method "other". The default is 500; with
// 0 all are.
func WithMaxMethods(n int) Option { return optionFunc(func(o *options) { o.maxMethods = n }) }

// WithBuckets sets the classic buckets of the histogram of calls, in seconds. Each
// costs a series for each method. The default is 16 from 0.5 ms to 1 min; without any
// there is the native histogram alone, which Prometheus must be set to scrape.
func WithBuckets(seconds ...float64) Option {
	return optionFunc(func(o *options) { o.buckets = seconds })
}
