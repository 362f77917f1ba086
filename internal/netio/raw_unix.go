//go:build unix

package netio

import (
	"net"
	"os"
	"syscall"
)

// rawConn returns the file descriptor of a connection that is nothing but one;
// nil for others.
func rawConn(conn net.Conn) syscall.RawConn {
	switch c := conn.(type) {
	case *net.TCPConn:
		raw, _ := c.SyscallConn() // a nil one is as good as none
		return raw
	case *net.UnixConn:
		raw, _ := c.SyscallConn()
		return raw
	default:
		return nil
	}
}

// readNow reads without waiting; again says that there is nothing.
func readNow(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, err := syscall.Read(int(fd), b)
		switch err {
		case nil:
			return n, false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, os.NewSyscallError("read", err)
		}
	}
}

// peekNow is readNow, and leaves what it reads in the connection.
func peekNow(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, _, err := syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK)
		switch err {
		case nil:
			return n, false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, os.NewSyscallError("recvfrom", err)
		}
	}
}

// writeNow writes what the connection takes without waiting.
func writeNow(fd uintptr, b []byte) (n int, err error) {
	for {
		n, err := syscall.Write(int(fd), b)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}
