//go:build !unix

package netio

import (
	"net"
	"syscall"
)

// There is no portable way to read or write without waiting.
func rawConn(net.Conn) syscall.RawConn { return nil }

func peekNow(uintptr, []byte) (n int, again bool, err error) { return 0, true, nil }

func readNow(uintptr, []byte) (n int, again bool, err error) { return 0, true, nil }

func writeNow(uintptr, []byte) (n int, err error) { return 0, nil }
