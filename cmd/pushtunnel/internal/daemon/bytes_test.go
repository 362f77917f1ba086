package daemon

import "testing"

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "100": 100, "100B": 100, "64KiB": 64 << 10, "4 MiB": 4 << 20, " 1GiB ": 1 << 30,
		"": -1, "-1": -1, "4MB": -1, "1.5GiB": -1, "9999999999GiB": -1, "KiB": -1,
	} {
		var got Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
	for want, b := range map[string]Bytes{"0": 0, "100": 100, "64KiB": 64 << 10, "4MiB": 4 << 20, "1GiB": 1 << 30, "1025KiB": 1025 << 10} {
		if got, err := b.MarshalText(); string(got) != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestLocal(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "127.8.0.1:0": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example.com:1": false, "": false,
	} {
		if got := local(addr); got != want {
			t.Errorf("%q: got %v, want %v", addr, got, want)
		}
	}
}
