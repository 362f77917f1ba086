package main

// A caseResult is what became of one case.
type caseResult struct {
	workload workload
	entrants []entrant           // that can do it
	samples  map[string][]sample // by entrant's name and round; those that failed have none
}

// rounds returns the samples of an entrant.
func (c *caseResult) rounds(e entrant) []sample { return c.samples[e.name()] }

// total returns the samples of an entrant as one.
func (c *caseResult) total(e entrant) (all sample) {
	for _, s := range c.rounds(e) {
		all = all.plus(s)
	}
	return all
}

// median returns the median over an entrant's rounds.
func (c *caseResult) median(e entrant, of func(sample) float64) float64 {
	var values []float64
	for _, s := range c.rounds(e) {
		values = append(values, of(s))
	}
	return median(values)
}

// ratios returns the spread of an entrant's ratios to another one in the same
// round; all NaN if one of them has failed.
func (c *caseResult) ratios(e entrant, to string, of func(job, sample) float64) spread {
	base := c.samples[to]
	var ratios []float64
	for round, s := range c.rounds(e) {
		if round < len(base) {
			ratios = append(ratios, of(c.workload.job, s)/of(c.workload.job, base[round]))
		}
	}
	return spreadOf(ratios)
}
