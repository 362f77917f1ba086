package main

import (
	"fmt"
	"io"
)

// printer prints the story in three columns: what is shown, the call, and what
// came of it.
type printer struct{ out io.Writer }

func (p *printer) print(format string, args ...any) { fmt.Fprintf(p.out, format, args...) }

// call begins a line. What comes of the call is to be printed after it, word by
// word if it takes time.
func (p *printer) call(title, call string) { p.print("%-15s %-27s", title, call) }

// result adds a word to the line.
func (p *printer) result(format string, args ...any) { p.print(" "+format, args...) }

// end ends the line.
func (p *printer) end() { p.print("\n") }
