package certs_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushtunnel/pushtunnel/certs"
)

// Files that cannot be used are an error at once, which names them.
func TestWatchWithoutGoodFiles(t *testing.T) {
	ca := newAuthority(t, "authority")
	good, other := ca.issue(t, "good"), ca.issue(t, "other")
	half := func(b []byte) []byte { return b[:len(b)/2] }
	for why, test := range map[string]struct {
		change func(*folder)
		want   string // the end of the error
	}{
		"nothing":                 {func(f *folder) { f.files = certs.Files{} }, "nothing to watch: set Certificate and Key, or Authorities"},
		"a certificate alone":     {func(f *folder) { f.files.Key = "" }, "Certificate and Key go together: set both or neither"},
		"a key alone":             {func(f *folder) { f.files.Certificate = "" }, "Certificate and Key go together: set both or neither"},
		"no certificate file":     {func(f *folder) { os.Remove(f.files.Certificate) }, "a.crt: no such file or directory"},
		"no key file":             {func(f *folder) { os.Remove(f.files.Key) }, "a.key: no such file or directory"},
		"no authorities file":     {func(f *folder) { os.Remove(f.files.Authorities) }, "authorities.crt: no such file or directory"},
		"an empty certificate":    {func(f *folder) { f.write(f.files.Certificate, nil) }, "a.key: there is no certificate in it"},
		"no PEM":                  {func(f *folder) { f.write(f.files.Authorities, []byte("hello\n")) }, "authorities.crt: there is no certificate in it"},
		"half a certificate":      {func(f *folder) { f.write(f.files.Certificate, half(good.cert)) }, "a PEM block is cut off or broken"},
		"half a key":              {func(f *folder) { f.write(f.files.Key, half(good.key)) }, "tls: failed to find any PEM data in key input"},
		"another key":             {func(f *folder) { f.write(f.files.Key, other.key) }, "tls: private key does not match public key"},
		"half a chain":            {func(f *folder) { f.write(f.files.Certificate, slices.Concat(good.cert, half(ca.pem))) }, "a PEM block is cut off or broken"},
		"a broken middle":         {func(f *folder) { f.write(f.files.Certificate, slices.Concat(good.cert, half(ca.pem), ca.pem)) }, "a PEM block is cut off or broken"},
		"half of the authorities": {func(f *folder) { f.write(f.files.Authorities, slices.Concat(ca.pem, half(ca.pem))) }, "authorities.crt: a PEM block is cut off or broken"},
		"no DER in it": {func(f *folder) {
			f.write(f.files.Authorities, slices.Concat(ca.pem, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")))
		}, "authorities.crt: block 2: x509: malformed certificate"},
	} {
		t.Run(why, func(t *testing.T) {
			f := newFolder(t).identity(good).trust(ca)
			test.change(f)
			w, err := certs.Watch(f.files)
			if err == nil {
				w.Close()
			}
			if err == nil || !strings.HasPrefix(err.Error(), "pushtunnel: certs: ") || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("got %v, want an error that ends with %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("got the error %v, which has a key in it", err)
			}
		})
	}
}

// What is around the blocks does not matter, nor do other blocks. A certificate and
// its key may be in one file.
func TestWatchOneFile(t *testing.T) {
	ca := newAuthority(t, "authority")
	i := ca.issue(t, "server")
	f := newFolder(t).trust(ca)
	f.files.Key = f.files.Certificate
	f.write(f.files.Certificate, slices.Concat([]byte("a comment\n"), i.key, []byte("\nanother\n"), i.cert, ca.pem, []byte("the end")))
	w := f.watch()
	got, err := handshake(w.Server(), w.Client("push.test"))
	if want := (shown{"server", "server"}); got != want || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// record is what a Watcher has told, without the times.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *record) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was told since it was called last.
func (l *record) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func (l *record) option() certs.Option {
	noTimes := func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindTime {
			return slog.Attr{}
		}
		return a
	}
	return certs.WithLogger(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: noTimes})))
}

// A file that is broken, gone or of another key changes nothing, and is told once.
// When there is a good one again, it is used.
func TestBrokenFilesKeepTheLastGoodOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, other := newAuthority(t, "authority"), newAuthority(t, "other")
		first, second := ca.issue(t, "first"), ca.issue(t, "second")
		f := newFolder(t).identity(first).trust(ca)
		var l record
		w := f.watch(certs.WithInterval(time.Minute), l.option())
		server, client := w.Server(), w.Client("push.test")
		const broken = `level=WARN msg="certificate files cannot be used, what was read before stays" files=`
		const renewed = `level=INFO msg="certificate files were read again" files=`
		for _, step := range []struct {
			why    string
			change func()
			shows  string // what the two ends show to each other
			tells  string // a part of the log
		}{
			{"nothing", func() {}, "first", ""},
			{"half a certificate", func() { f.write(f.files.Certificate, second.cert[:100]) }, "first", broken + "certificate"},
			{"still", func() {}, "first", ""},
			{"another reason: the old key", func() { f.write(f.files.Certificate, second.cert) }, "first", "tls: private key does not match public key"},
			{"half a chain", func() {
				f.write(f.files.Key, second.key)
				f.write(f.files.Certificate, append(second.cert, ca.pem[:100]...))
			}, "first", broken + "certificate"},
			{"a good one", func() { f.identity(second) }, "second", renewed + "certificate"},
			{"still", func() {}, "second", ""},
			{"the key is gone", func() { os.Remove(f.files.Key) }, "second", "no such file"},
			{"it is back", func() { f.identity(second) }, "second", renewed + "certificate"},
			{"half of the authorities", func() { f.write(f.files.Authorities, append(slices.Clone(other.pem), ca.pem[:100]...)) }, "second", broken + "authorities"},
			{"a certificate all the same", func() { f.identity(first) }, "first", renewed + "certificate"},
			{"both authorities", func() { f.trust(other, ca) }, "first", renewed + "authorities"},
			{"still", func() {}, "first", ""},
		} {
			step.change()
			time.Sleep(time.Minute + time.Second)
			synctest.Wait()
			got, err := handshake(server, client)
			if want := (shown{step.shows, step.shows}); got != want || err != nil {
				t.Fatalf("%s: got %v, %v, want %v", step.why, got, err, want)
			}
			told := l.take()
			if !strings.Contains(told, step.tells) || strings.Count(told, "\n") != min(len(step.tells), 1) {
				t.Fatalf("%s: got the log %q, want one line with %q", step.why, told, step.tells)
			}
			if strings.Contains(told, "PRIVATE") {
				t.Fatalf("%s: got a key in the log", step.why)
			}
		}
	})
}

// The log says until when the certificate is good.
func TestLogHasTheExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "authority")
		f := newFolder(t).identity(ca.issue(t, "first")).trust(ca)
		var l record
		f.watch(certs.WithLogger(slog.New(slog.NewTextHandler(&l, nil))), certs.WithInterval(0))
		time.Sleep(time.Hour)
		f.identity(ca.issue(t, "second"))
		expires := time.Now().Add(lifetime).UTC().Format("2006-01-02T15:04:05")
		time.Sleep(10 * time.Second) // the default
		synctest.Wait()
		told := l.take()
		if want := "expires=" + expires; !strings.Contains(told, want) {
			t.Errorf("got the log %q, want %s in it", told, want)
		}
	})
}

// Configurations outlive their Watcher, with what it has read last.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "authority")
		f := newFolder(t).identity(ca.issue(t, "first")).trust(ca)
		w := f.watch()
		server, client := w.Server(), w.Client("push.test")
		w.Close()
		w.Close()
		f.identity(ca.issue(t, "second"))
		time.Sleep(time.Hour)
		got, err := handshake(server, client)
		if diff := cmp.Diff("first", got.server); diff != "" || err != nil {
			t.Errorf("got another certificate, or %v: %s", err, diff)
		}
	})
}

// Files are often links to files in a folder that is a link itself, which is then
// made to lead to another folder.
func TestFolderIsExchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "authority")
		dir := t.TempDir()
		f := &folder{t: t}
		at := func(folder string) {
			f.files = certs.Files{
				Certificate: filepath.Join(dir, folder, "a.crt"), Key: filepath.Join(dir, folder, "a.key"), Authorities: filepath.Join(dir, folder, "ca.crt"),
			}
		}
		for _, label := range []string{"first", "second"} {
			if err := os.Mkdir(filepath.Join(dir, label), 0o700); err != nil {
				t.Fatal(err)
			}
			at(label)
			f.identity(ca.issue(t, label)).trust(ca)
		}
		link := func(to string) {
			tmp := filepath.Join(dir, "tmp")
			if err := os.Symlink(to, tmp); err != nil {
				t.Skip("no symbolic links here: ", err)
			}
			if err := os.Rename(tmp, filepath.Join(dir, "now")); err != nil {
				t.Fatal(err)
			}
		}
		link("first")
		at("now")
		w := f.watch(certs.WithInterval(time.Second))
		for _, label := range []string{"first", "second"} {
			link(label)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			got, err := handshake(w.Server(), w.Client("push.test"))
			if got.server != label || err != nil {
				t.Errorf("got %v, %v, want %s", got, err, label)
			}
		}
	})
}

// Handshakes go on while files change: this is for the race detector.
func TestHandshakesWhileFilesChange(t *testing.T) {
	ca := newAuthority(t, "authority")
	f := newFolder(t).identity(ca.issue(t, "first")).trust(ca)
	w := f.watch(certs.WithInterval(time.Millisecond))
	server, client := w.Server(), w.Client("push.test")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	second := ca.issue(t, "second")
	for n := 0; ; n++ {
		if n == 10 {
			f.identity(second)
		}
		got, err := handshake(server, client)
		switch {
		case err != nil:
			t.Fatal(err)
		case got.server == "second" && got.client == "second":
			return
		case ctx.Err() != nil:
			t.Fatalf("got %v for a minute, want the second certificate", got)
		}
	}
}
