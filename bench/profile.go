package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"time"
)

// profile takes one long sample of the only entrant and case in p and writes
// the profiles asked for; an empty file name asks for none. The CPU profile
// covers the sample alone, the memory profile all that was allocated until its
// end.
func profile(w io.Writer, p plan, cpuFile, memFile string) (err error) {
	const duration = 5 * time.Second
	if len(p.workloads) != 1 || len(p.entrants) != 1 {
		return fmt.Errorf("a profile needs one case and one contender; -case and -contender match %d and %d",
			len(p.workloads), len(p.entrants))
	}
	load, e := p.workloads[0], p.entrants[0]
	f, err := startFleet(e.contender, e.link, load.job.Clients)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if _, err := f.do(load.job, p.sample); err != nil {
		return err
	}
	if cpuFile != "" {
		out, err := os.Create(cpuFile)
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
	}
	s, err := f.take(load.job, duration)
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	if memFile != "" {
		out, err := os.Create(memFile)
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.Lookup("allocs").WriteTo(out, 0); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "%s, %s: %s, %.1f allocations, %.0f B, %.1f µs of CPU and %.2f system calls each\n",
		load.name, e.name(), load.figure.text(load.job, s), s.allocs(), s.bytes(), s.cpu(), s.syscalls())
	return nil
}
