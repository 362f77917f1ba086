package main

import "io"

func measureGrowth([]string, io.Writer, io.Writer) error { return nil }
