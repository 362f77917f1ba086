package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// configFile are the settings in a file, YAML or JSON. Its keys are the names of the flags
// of "serve". It is a kong.Resolver: flags and the environment go before it.
type configFile struct {
	path string
	keys map[string]yaml.Node
}

// notKeys are flags that a file cannot set.
var notKeys = []string{"help", "config", "check-config"}

// readConfig reads a file. Its keys must be among the flags.
func readConfig(path string, flags []*kong.Flag) (*configFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration: %w", err)
	}
	keys, err := parseConfig(data, flags)
	if err != nil {
		return nil, fmt.Errorf("the configuration in %s: %w", path, err)
	}
	return &configFile{path: path, keys: keys}, nil
}

func parseConfig(data []byte, flags []*kong.Flag) (map[string]yaml.Node, error) {
	keys := make(map[string]yaml.Node)
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&keys); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one document in it")
	}
	known := make(map[string]bool)
	for _, f := range flags {
		known[f.Name] = !slices.Contains(notKeys, f.Name)
	}
	var all []error
	for key, node := range keys {
		if !known[key] {
			all = append(all, fmt.Errorf("line %d: unknown key %q", node.Line, key))
		}
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return keys, errors.Join(all...)
}

// Validate does nothing: parseConfig has.
func (c *configFile) Validate(*kong.Application) error { return nil }

// Resolve returns the value for a flag, nil if there is none.
func (c *configFile) Resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	node, ok := c.keys[f.Name]
	if !ok || slices.Contains(notKeys, f.Name) {
		return nil, nil
	}
	for _, env := range f.Envs {
		if _, ok := os.LookupEnv(env); ok {
			return nil, nil
		}
	}
	v, err := plain(&node)
	if err == nil {
		// Try it, to tell the line if it does not go.
		err = f.Parse(kong.Scan().PushTyped(v, kong.FlagValueToken), reflect.New(f.Target.Type()).Elem())
	}
	if err != nil {
		return nil, fmt.Errorf("%s, line %d: %w", c.path, node.Line, err)
	}
	return v, nil
}

// plain is a value as the flags read it: a text, or a list of them.
func plain(n *yaml.Node) (any, error) {
	switch {
	case n.Kind == yaml.AliasNode:
		return plain(n.Alias)
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		return n.Value, nil
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			v, err := plain(item)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	return nil, errors.New("this is no value, and no list of values")
}
