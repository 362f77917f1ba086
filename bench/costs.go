package main

import (
	"runtime"
	"time"
)

// costs are counters of this process and this machine.
type costs struct {
	Mallocs, MallocBytes uint64
	systemCosts
}

// systemCosts is the part of costs that the operating system knows; zero where
// it does not tell.
type systemCosts struct {
	CPU      time.Duration // of this process
	Syscalls uint64        // read and write, of this process
	Busy     time.Duration // of the whole machine, time stolen by its host included
	Total    time.Duration // of all the machine's CPUs
}

func readCosts() costs {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return costs{m.Mallocs, m.TotalAlloc, readSystemCosts()}
}

func (c costs) minus(b costs) costs {
	return costs{
		Mallocs:     c.Mallocs - b.Mallocs,
		MallocBytes: c.MallocBytes - b.MallocBytes,
		systemCosts: systemCosts{
			CPU:      c.CPU - b.CPU,
			Syscalls: c.Syscalls - b.Syscalls,
			Busy:     c.Busy - b.Busy,
			Total:    c.Total - b.Total,
		},
	}
}

func (c costs) plus(b costs) costs { return c.minus(costs{}.minus(b)) }

// others is the share of the machine that went to other processes.
func (c costs) others() float64 {
	if c.Total <= 0 {
		return 0
	}
	return max(0, float64(c.Busy-c.CPU)/float64(c.Total))
}
