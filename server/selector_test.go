package server_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pushtunnel/pushtunnel/client"
	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunneltest"
)

func TestSelector(t *testing.T) {
	labels := map[string]string{"region": "eu", "tier": "free", "empty": "", "odd": `a, "b" (c)`, "a.b/c-d_e": "x y", "spaced": " b "}
	for text, want := range map[string]bool{
		"":                             true,
		"  ":                           true,
		"region=eu":                    true,
		"region==eu":                   true,
		" region = eu ":                true,
		"region=us":                    false,
		"region=eu,tier=free":          true,
		"region=eu, tier!=free":        false,
		"region!=us":                   true,
		"nothing!=us":                  true,
		"nothing=us":                   false,
		"nothing=":                     false,
		"empty=":                       true,
		"empty":                        true,
		"!empty":                       false,
		"region":                       true,
		"!nothing":                     true,
		"! nothing":                    true,
		"nothing":                      false,
		"region in (us, eu)":           true,
		"region in (us)":               false,
		"region notin (us,ca)":         true,
		"region notin (us,eu)":         false,
		"nothing notin (us)":           true,
		"nothing in (us)":              false,
		"empty in (,x)":                true,
		`odd="a, \"b\" (c)"`:           true,
		`odd in ("x", "a, \"b\" (c)")`: true,
		`spaced=" b "`:                 true,
		`spaced=b`:                     false,
		"a.b/c-d_e=x y":                true,
		"region in(eu)":                true,
	} {
		s, err := server.ParseSelector(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := s.Matches(labels); got != want || s.String() != text {
			t.Errorf("%q matches: %v, want %v", s, got, want)
		}
	}
	if !(server.Selector{}).Matches(nil) {
		t.Error("the zero selector does not choose all")
	}
	if got := server.MustSelector("a,!b").Matches(map[string]string{"a": ""}); !got {
		t.Error("a,!b does not match a")
	}
}

func TestBadSelectors(t *testing.T) {
	for text, want := range map[string]string{
		",":                        "a label has an empty key",
		"a,":                       "a label has an empty key",
		"a,,b":                     "a label has an empty key",
		"=x":                       "a label has an empty key",
		"a b":                      "a comma is missing",
		"a in b":                   "an opening parenthesis is missing",
		"a in (b":                  "a closing parenthesis is missing",
		"a in (b)c":                "a comma is missing",
		`a="b`:                     "a closing quote is missing",
		`a=b"c"`:                   "a quote within a value",
		"a=b)":                     "a comma is missing",
		"ä=b":                      "which is not allowed",
		strings.Repeat("k", 64):    "above the limit of 63",
		strings.Repeat("a,", 65):   "more than 64 requirements",
		strings.Repeat("a", 5<<10): "above the limit of 4096",
	} {
		if _, err := server.ParseSelector(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got the error %v, want one with %q", text, err, want)
		}
	}
}

// What is read can be written and read again, and never crashes.
func FuzzParseSelector(f *testing.F) {
	for _, s := range []string{"a=b,c!=d", "a in (b, c),!d", `a="b\"",c notin ( "" )`, "a==", "((", `a="`} {
		f.Add(s, "a", "b")
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		s, err := server.ParseSelector(text)
		if err != nil {
			return
		}
		both, err := server.ParseSelector(text + ",zzz")
		if err != nil && strings.TrimSpace(text) != "" && !strings.Contains(err.Error(), "requirements") && !strings.Contains(err.Error(), "above the limit") {
			t.Fatalf("%q can be read, with a requirement more it can't: %v", text, err)
		}
		labels := map[string]string{key: value}
		if err == nil && both.Matches(labels) && (!s.Matches(labels) || key != "zzz") {
			t.Fatalf("%q and more matches %v, alone it does not", text, labels)
		}
	})
}

// The labels that count are those that the server has granted.
func TestSelect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := tunneltest.NewServer(t)
		push.Connect(t, "a", nil, client.WithLabels(map[string]string{"region": "eu", "tier": "free"}))
		push.Connect(t, "b", nil, client.WithLabels(map[string]string{"region": "us"}), client.WithLabels(map[string]string{"tier": "paid"}))
		push.Connect(t, "c", nil, client.WithLabels(map[string]string{"region": "eu", "tier": "paid"}), client.WithNamespace("other"))
		push.Connect(t, "d", nil)
		for text, want := range map[string][]string{
			"region=eu":        {"a"},
			"tier in (paid)":   {"b"},
			"!region":          {"d"},
			"":                 {"a", "b", "d"},
			"region=eu,!tier":  {},
			"region notin (x)": {"a", "b", "d"},
		} {
			got := []string{}
			for s := range server.Select(server.MustSelector(text), push.Sessions()) {
				got = append(got, s.Name())
			}
			wantSame(t, text, got, want)
		}
		all := slices.Collect(server.Select(server.MustSelector("region=eu"), push.All()))
		if len(all) != 2 || all[1].Name() != "c" {
			t.Errorf("in all namespaces: got %d sessions, want a and c", len(all))
		}
		for range server.Select(server.Selector{}, push.All()) {
			break // a loop may be left
		}
	})
}
