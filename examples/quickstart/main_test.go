package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test binary be a display: the demonstration starts itself
// again for the one that it kills.
func TestMain(m *testing.M) {
	if args := os.Args[1:]; len(args) > 0 && args[0] == displayCommand {
		if err := command(context.Background(), args, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	if err := command(t.Context(), nil, &out); err != nil {
		t.Fatalf("the demonstration failed: %v\nafter printing:\n%s", err, &out)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), out.String()) {
		t.Errorf("README.md does not show what the demonstration prints:\n%s", &out)
	}
}

func TestFailsLoudly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := command(ctx, nil, new(bytes.Buffer)); err == nil {
		t.Error("the demonstration succeeded without time to run")
	}
}
