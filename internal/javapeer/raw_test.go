package javapeer

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
)

// rawWrite writes frames, and flushes when there are no more.
func rawWrite(c net.Conn, out chan []byte) {
	w := bufio.NewWriterSize(c, 32<<10)
	for b := range out {
		w.Write(b)
		if len(out) == 0 && w.Flush() != nil {
			return
		}
	}
}

// rawRead reads frames until the connection ends.
func rawRead(c net.Conn, take func(head, body []byte)) error {
	r := bufio.NewReaderSize(c, 32<<10)
	head := make([]byte, 48)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		body := make([]byte, binary.LittleEndian.Uint32(head[44:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		take(head, body)
	}
}
