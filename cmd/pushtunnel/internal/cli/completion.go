package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is what --help adds.
func (completionCommand) Help() string {
	return `bash:  source <(pushtunnel completion bash)
zsh:   source <(pushtunnel completion zsh)
fish:  pushtunnel completion fish | source`
}

// The scripts ask the program itself, so that they know what it knows.
var scripts = map[string]string{
	"bash": `_pushtunnel() {
	local IFS=$'\n'
	COMPREPLY=($(pushtunnel complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _pushtunnel pushtunnel
`,
	"zsh": `#compdef pushtunnel
_pushtunnel() {
	local -a found
	found=("${(@f)$(pushtunnel complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "$found" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _pushtunnel pushtunnel
`,
	"fish": `complete -c pushtunnel -a '(pushtunnel complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}

// Run prints the script of a shell.
func (c *completionCommand) Run(std Streams) error {
	_, err := fmt.Fprint(std.Out, scripts[c.Shell])
	return err
}

// completeCommand is what the scripts run.
type completeCommand struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints what the last word may become.
func (c *completeCommand) Run(std Streams, k *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, w := range complete(k.Model.Node, words) {
		fmt.Fprintln(std.Out, w)
	}
	return nil
}

// complete returns what the last of the words may become: commands, flags, and the
// values of those that have a few. Nothing means that the shell may offer files.
func complete(root *kong.Node, words []string) (found []string) {
	last := ""
	if len(words) > 0 {
		last, words = words[len(words)-1], words[:len(words)-1]
	}
	at := root
	var open *kong.Flag // a flag that waits for its value
	arguments := 0
	for _, w := range words {
		switch {
		case open != nil:
			open = nil
		case strings.HasPrefix(w, "-"):
			open = flagOf(at, w)
		default:
			if i := slices.IndexFunc(at.Children, func(n *kong.Node) bool { return n.Name == w }); i >= 0 {
				at = at.Children[i]
			} else {
				arguments++
			}
		}
	}
	var all []string
	switch {
	case open != nil:
		all = values(open.Value)
	case strings.HasPrefix(last, "-"):
		for _, f := range at.Flags {
			all = append(all, "--"+f.Name)
		}
	case len(at.Children) > 0:
		for _, n := range at.Children {
			if !n.Hidden {
				all = append(all, n.Name)
			}
		}
	case arguments < len(at.Positional):
		all = values(at.Positional[arguments])
	}
	for _, w := range all {
		if w != "" && strings.HasPrefix(w, last) {
			found = append(found, w)
		}
	}
	return found
}

// flagOf returns the flag of a word that needs a value in the next word.
func flagOf(n *kong.Node, word string) *kong.Flag {
	for _, f := range n.Flags {
		if (word == "--"+f.Name || (f.Short != 0 && word == "-"+string(f.Short))) && !f.IsBool() {
			return f
		}
	}
	return nil
}

func values(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}
