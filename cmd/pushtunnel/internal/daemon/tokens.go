package daemon

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/pushtunnel/pushtunnel/server"
	"github.com/pushtunnel/pushtunnel/tunnel"
)

// tokenFile is the file of bearer tokens, YAML or JSON.
type tokenFile struct {
	Clients []clientToken `yaml:"clients"`
	Callers []callerToken `yaml:"callers"`
}

// clientToken is the token of a client.
type clientToken struct {
	Token     string            `yaml:"token"`
	Name      string            `yaml:"name"`
	Namespace string            `yaml:"namespace"`
	Subject   string            `yaml:"subject"` // of more than one client, if not Name
	Labels    map[string]string `yaml:"labels"`
}

// callerToken is the token of a program that pushes.
type callerToken struct {
	Token      string    `yaml:"token"`
	Name       string    `yaml:"name"`       // for people
	Namespaces *[]string `yaml:"namespaces"` // nil: all
	Admin      bool      `yaml:"admin"`      // may list and watch
}

// tokens are what bearer tokens are for. They are found by their hashes, so that
// the time of a look-up tells nothing about a token.
type tokens struct {
	clients map[[sha256.Size]byte]server.Identity
	callers map[[sha256.Size]byte]caller
}

// readTokens reads a file of tokens.
func readTokens(path string) (*tokens, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: the file of tokens: %w", err)
	}
	t, err := parseTokens(data)
	if err != nil {
		return nil, fmt.Errorf("pushtunnel: the file of tokens, %s: %w", path, err)
	}
	return t, nil
}

// minToken is the shortest token: shorter ones can be guessed.
const minToken = 16

func parseTokens(data []byte) (*tokens, error) {
	var file tokenFile
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	t := &tokens{clients: make(map[[sha256.Size]byte]server.Identity), callers: make(map[[sha256.Size]byte]caller)}
	for i, c := range file.Clients {
		identity := server.Identity{Name: c.Name, Namespace: c.Namespace, Labels: c.Labels, Subject: c.Subject}
		if identity.Subject == "" {
			identity.Subject = c.Name
		}
		claim := tunnel.Claim{Name: c.Name, Namespace: c.Namespace, Labels: c.Labels}
		if err := errors.Join(claim.Check(), t.fresh(c.Token)); err != nil {
			return nil, fmt.Errorf("entry %d of clients, %q: %w", i+1, c.Name, err)
		}
		t.clients[sha256.Sum256([]byte(c.Token))] = identity
	}
	for i, c := range file.Callers {
		if err := t.fresh(c.Token); err != nil {
			return nil, fmt.Errorf("entry %d of callers, %q: %w", i+1, c.Name, err)
		}
		t.callers[sha256.Sum256([]byte(c.Token))] = caller{name: c.Name, namespaces: c.Namespaces, admin: c.Admin}
	}
	return t, nil
}

// fresh reports why a token cannot be added.
func (t *tokens) fresh(token string) error {
	if len(token) < minToken {
		return fmt.Errorf("a token needs %d characters or more; make one with: openssl rand -hex 32", minToken)
	}
	sum := sha256.Sum256([]byte(token))
	_, client := t.clients[sum]
	_, caller := t.callers[sum]
	if client || caller {
		return errors.New("the token is there twice")
	}
	return nil
}
