package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file writes a file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const tokenFile = `
clients:
  - {name: kitchen, token: kitchen-kitchen-kitchen, namespace: acme, labels: {floor: "1"}}
callers:
  - {name: backend, token: backend-backend-backend, namespaces: [acme]}
  - {name: operator, token: operator-operator-operator, admin: true}
`

func TestCheckConfig(t *testing.T) {
	for name, c := range map[string]struct {
		config string // YAML, unless it begins with {
		args   []string
		env    map[string]string
		wrong  []string // what the error has; none: it is good
	}{
		"nothing":              {},
		"an empty file":        {config: "\n"},
		"YAML":                 {config: "listen: 127.0.0.1:1\nmax-sessions: 5\nheartbeat: 20s\nmax-memory: 2GiB\nduplicates: refuse\n"},
		"JSON":                 {config: `{"listen": "127.0.0.1:1", "max-sessions": 5, "native-allow": ["10.0.0.0/8", "::1/128"]}`},
		"an unknown key":       {config: "listen: 127.0.0.1:1\nlisen: 127.0.0.1:2\n", wrong: []string{"file.yaml: line 2: unknown key \"lisen\"", "see pushtunnel serve --help"}},
		"two unknown keys":     {config: "a: 1\nb: 2\n", wrong: []string{`unknown key "a"`, `unknown key "b"`}},
		"an unknown JSON key":  {config: `{"max_sessions": 5}`, wrong: []string{`unknown key "max_sessions"`}},
		"a key in a key":       {config: "tls:\n  cert: x\n", wrong: []string{`unknown key "tls"`}},
		"a key twice":          {config: "max-sessions: 1\nmax-sessions: 2\n", wrong: []string{"line 2", "already defined"}},
		"config in config":     {config: "config: other.yaml\n", wrong: []string{`unknown key "config"`}},
		"no number":            {config: "log-level: info\nmax-sessions: many\n", wrong: []string{"file.yaml, line 2", "--max-sessions"}},
		"no duration":          {config: "heartbeat: 5\n", wrong: []string{"file.yaml, line 1", "--heartbeat"}},
		"no size":              {config: "max-memory: 5 potatoes\n", wrong: []string{"5 potatoes", "4MiB"}},
		"a list for a value":   {config: "listen: [a, b]\n", wrong: []string{"file.yaml, line 1"}},
		"none of the values":   {config: "log-format: xml\n", wrong: []string{"--log-format", "text", "json"}},
		"two documents":        {config: "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n", wrong: []string{"more than one document"}},
		"no YAML":              {config: "listen: [\n", wrong: []string{"file.yaml"}},
		"a flag goes first":    {config: "listen: 0.0.0.0:1\n", args: []string{"--listen=127.0.0.1:1"}},
		"then the environment": {config: "listen: 0.0.0.0:1\n", env: map[string]string{"PUSHTUNNEL_LISTEN": "127.0.0.1:1"}},
		"a flag before it":     {args: []string{"--listen=127.0.0.1:1"}, env: map[string]string{"PUSHTUNNEL_LISTEN": "0.0.0.0:1"}},
		"then the file":        {config: "listen: 0.0.0.0:1\n", wrong: []string{"--listen=0.0.0.0:1"}},
		"a bad variable":       {env: map[string]string{"PUSHTUNNEL_MAX_SESSIONS": "many"}, wrong: []string{"PUSHTUNNEL_MAX_SESSIONS", "many"}},

		"others, and no proof":    {args: []string{"--listen=:7420"}, wrong: []string{"set --tokens, or --tls-cert, --tls-key and --tls-client-ca"}},
		"half of TLS":             {args: []string{"--tls-cert=x"}, wrong: []string{"--tls-cert and --tls-key go together"}},
		"clients' CA alone":       {args: []string{"--tls-client-ca=x"}, wrong: []string{"--tls-client-ca needs TLS"}},
		"callers, and no CA":      {args: []string{"--caller-certificate=x"}, wrong: []string{"set --tls-client-ca"}},
		"native, and no proof":    {args: []string{"--native-listen=:1"}, wrong: []string{"set --native-allow"}},
		"native of this machine":  {args: []string{"--native-listen=127.0.0.1:1"}},
		"native of a network":     {args: []string{"--native-listen=:1", "--native-allow=10.0.0.0/8"}},
		"services without native": {args: []string{"--native-protoset=x"}, wrong: []string{"set --native-listen"}},
		"no such services":        {args: []string{"--native-protoset=/does/not/exist", "--native-listen=127.0.0.1:1"}, wrong: []string{"/does/not/exist"}},
		"plaintext without TLS":   {args: []string{"--plaintext=grpc"}, wrong: []string{"--plaintext is for a port with TLS"}},
		"plaintext of what":       {args: []string{"--plaintext=http"}, wrong: []string{`"grpc","direct"`}},
		"an admin host with port": {args: []string{"--admin-host=a.example.com:80"}, wrong: []string{`--admin-host="a.example.com:80" is no name`}},
		"no address":              {args: []string{"--listen=7420"}, wrong: []string{`--listen="7420" is no address`}},
		"no picker":               {args: []string{"--picker=best"}, wrong: []string{"least-in-flight"}},
		"a sticky picker":         {args: []string{"--picker=sticky:User"}},
		"a negative limit":        {args: []string{"--max-sessions=-1"}, wrong: []string{"--max-sessions is negative"}},
		"no such file":            {args: []string{"--tokens=/does/not/exist"}, wrong: []string{"/does/not/exist"}},
		"no such certificate":     {args: []string{"--tls-cert=/does/not/exist", "--tls-key=/does/not/exist"}, wrong: []string{"/does/not/exist"}},
		"no such configuration":   {args: []string{"--config=/does/not/exist"}, wrong: []string{"/does/not/exist"}},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			args := append([]string{"serve", "--check-config"}, c.args...)
			if c.config != "" {
				args = append(args, "--config="+file(t, "file.yaml", c.config))
			}
			got := run(t, args...)
			if len(c.wrong) == 0 {
				if want := (result{out: "The configuration is good.\n"}); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				return
			}
			if got.code != 2 || got.out != "" || !strings.HasPrefix(got.err, "pushtunnel: ") {
				t.Errorf("got %+v, want exit code 2 and an error", got)
			}
			for _, w := range c.wrong {
				if !strings.Contains(got.err, w) {
					t.Errorf("got %q, want %q in it", got.err, w)
				}
			}
		})
	}
}

func TestTokenFile(t *testing.T) {
	for name, c := range map[string]struct{ text, wrong string }{
		"good":           {text: tokenFile},
		"an unknown key": {"clients:\n  - {nane: x, token: kitchen-kitchen-kitchen}\n", "nane"},
		"no name":        {"clients:\n  - {token: kitchen-kitchen-kitchen}\n", "entry 1 of clients"},
		"too short":      {"callers:\n  - {name: x, token: short}\n", "openssl rand -hex 32"},
		"twice":          {tokenFile + "  - {name: other, token: kitchen-kitchen-kitchen}\n", "the token is there twice"},
		"a bad label":    {"clients:\n  - {name: x, token: kitchen-kitchen-kitchen, labels: {\"a b\": c}}\n", "entry 1 of clients"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, "serve", "--check-config", "--listen=:0", "--tokens="+file(t, "tokens.yaml", c.text))
			if c.wrong == "" && got.code != 0 || c.wrong != "" && (got.code != 2 || !strings.Contains(got.err, c.wrong)) {
				t.Errorf("got %+v, want %q", got, c.wrong)
			}
			if strings.Contains(got.err, "kitchen-kitchen") {
				t.Errorf("got %q, want no token in it", got.err)
			}
		})
	}
}
