package main

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func readSystemCosts() systemCosts {
	var c systemCosts
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		c.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	c.Syscalls = readCallCount()
	c.Busy, c.Total = readMachineTime()
	return c
}

// readCallCount returns how many read and write system calls this process has
// made.
func readCallCount() (calls uint64) {
	file, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for lines := bufio.NewScanner(bytes.NewReader(file)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		if key == "syscr" || key == "syscw" {
			n, _ := strconv.ParseUint(value, 10, 64)
			calls += n
		}
	}
	return calls
}

// readMachineTime returns the time that all CPUs together have been busy and
// have been there. Interrupts are left out of busy: on a loopback they are the
// benchmark's own.
func readMachineTime() (busy, total time.Duration) {
	file, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(file), "\n")
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture
	const idle, iowait, irq, softirq, guest = 3, 4, 5, 6, 8
	for i, field := range strings.Fields(line)[1:] {
		n, _ := strconv.ParseInt(field, 10, 64)
		switch i {
		case idle, iowait, irq, softirq:
			total += time.Duration(n) * tick
		default:
			if i < guest { // what guests take is in user and nice already
				busy += time.Duration(n) * tick
				total += time.Duration(n) * tick
			}
		}
	}
	return busy, total
}

// raiseOpenFiles lets this process and its children have as many open files as
// 10,000 clients take, where that is allowed.
func raiseOpenFiles() {
	const enough = 20000
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil && limit.Cur < enough {
		limit.Cur, limit.Max = enough, max(limit.Max, enough)
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // those who need more will tell
	}
}

// readRSS returns how many bytes of this process are in memory.
func readRSS() (bytes uint64) {
	file, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	if fields := strings.Fields(string(file)); len(fields) > 1 {
		pages, _ := strconv.ParseUint(fields[1], 10, 64)
		bytes = pages * uint64(os.Getpagesize())
	}
	return bytes
}
