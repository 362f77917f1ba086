package metrics_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

// exported returns what the collectors export: for each metric its type and labels.
func exported(t *testing.T) (types map[string]string, labels map[string][]string) {
	t.Helper()
	types, labels = make(map[string]string), make(map[string][]string)
	synctest.Test(t, func(t *testing.T) {
		m, of := exercised(t)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(m, of)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			types[f.GetName()] = strings.ToLower(f.GetType().String())
			labels[f.GetName()] = []string{}
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels[f.GetName()] = append(labels[f.GetName()], l.GetName())
			}
		}
	})
	return types, labels
}

var (
	// series is a metric in an expression, with the labels that it is selected by.
	series   = regexp.MustCompile(`\b(pushtunnel_\w+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"`)
	grouping = regexp.MustCompile(`\bby\s*\(([^)]*)\)\s*\(`)
	byWord   = regexp.MustCompile(`\bby\b`)
	listed   = regexp.MustCompile(`\w+`)
)

// checker says what is wrong with expressions.
type checker struct {
	types  map[string]string
	labels map[string][]string
	used   map[string]bool // metrics
}

// has says what is wrong with a label of a metric as an expression names it.
func (c *checker) has(metric, label string) string {
	name := metric
	if _, ok := c.types[name]; !ok {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base, cut := strings.CutSuffix(metric, suffix)
			if cut && c.types[base] == "histogram" {
				name = base
			}
			if cut && suffix == "_bucket" && label == "le" {
				label = ""
			}
		}
	}
	if _, ok := c.types[name]; !ok {
		return fmt.Sprintf("there is no metric %s", metric)
	}
	c.used[name] = true
	switch label {
	case "", "job", "instance": // the target's
		return ""
	}
	if !slices.Contains(c.labels[name], label) {
		return fmt.Sprintf("metric %s has no label %s: it has %v", metric, label, c.labels[name])
	}
	return ""
}

// check checks all metrics of an expression, and all labels that it groups them by.
// It returns the labels that its result has: those of the first grouping.
func (c *checker) check(t *testing.T, where, expr string) (result []string) {
	t.Helper()
	metrics := series.FindAllStringSubmatch(expr, -1)
	if len(metrics) == 0 {
		t.Errorf("%s: no metric in %s", where, expr)
	}
	for _, m := range metrics {
		for _, l := range append([][]string{{"", ""}}, matcher.FindAllStringSubmatch(m[2], -1)...) {
			if problem := c.has(m[1], l[1]); problem != "" {
				t.Errorf("%s: %s", where, problem)
			}
		}
	}
	groups := grouping.FindAllStringSubmatchIndex(expr, -1)
	if len(byWord.FindAllString(expr, -1)) != len(groups) || strings.Contains(expr, "without") {
		t.Errorf("%s: write it as `sum by (label) (...)`, which this test can read: %s", where, expr)
	}
	for i, g := range groups {
		labels := listed.FindAllString(expr[g[2]:g[3]], -1)
		if i == 0 {
			result = labels
		}
		for _, m := range series.FindAllStringSubmatch(operand(expr[g[1]:]), -1) {
			for _, l := range labels {
				if problem := c.has(m[1], l); problem != "" {
					t.Errorf("%s: %s", where, problem)
				}
			}
		}
	}
	return result
}

// operand returns s up to the parenthesis that closes one which is open already.
func operand(s string) string {
	open := 1
	for i, r := range s {
		switch r {
		case '(':
			open++
		case ')':
			open--
		}
		if open == 0 {
			return s[:i]
		}
	}
	return s
}

func TestTheCheckerFindsMistakes(t *testing.T) {
	c := &checker{
		types:  map[string]string{"pushtunnel_h": "histogram", "pushtunnel_c": "counter"},
		labels: map[string][]string{"pushtunnel_h": {"method"}, "pushtunnel_c": {"code"}},
		used:   map[string]bool{},
	}
	for _, test := range []struct {
		metric, label string
		fine          bool
	}{
		{"pushtunnel_c", "code", true},
		{"pushtunnel_c", "job", true},
		{"pushtunnel_c", "le", false},
		{"pushtunnel_c", "method", false},
		{"pushtunnel_h_bucket", "le", true},
		{"pushtunnel_h_bucket", "method", true},
		{"pushtunnel_h_count", "le", false},
		{"pushtunnel_h_bucket", "code", false},
		{"pushtunnel_c_bucket", "le", false},
		{"pushtunnel_x", "", false},
	} {
		if problem := c.has(test.metric, test.label); (problem == "") != test.fine {
			t.Errorf("%s by %s: got %q, fine: %v", test.metric, test.label, problem, test.fine)
		}
	}
	if got := operand("a(b)(c)) d"); got != "a(b)(c)" {
		t.Errorf("got an operand of %q", got)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile("../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// wantAllUsed checks that no metric of a server is left out.
func (c *checker) wantAllUsed(t *testing.T, where string, but ...string) {
	t.Helper()
	for name := range c.types {
		if !strings.HasPrefix(name, "pushtunnel_client_") && !c.used[name] && !slices.Contains(but, name) {
			t.Errorf("%s does not show %s", where, name)
		}
	}
}

func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	d := yaml.NewDecoder(bytes.NewReader(read(t, "deploy/prometheus/alerts.yaml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	types, labels := exported(t)
	c := &checker{types, labels, map[string]bool{}}
	runbook := string(read(t, "docs/RUNBOOK.md"))
	names := map[string]bool{}
	for _, r := range file.Groups[0].Rules {
		if !strings.HasPrefix(r.Alert, "Pushtunnel") || names[r.Alert] {
			t.Errorf("%s: the name is not ours, or there twice", r.Alert)
		}
		names[r.Alert] = true
		result := c.check(t, r.Alert, r.Expr)
		if result == nil {
			result = []string{"job", "instance"}
		}
		if r.For == "" || !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s: for: %q, severity: %q", r.Alert, r.For, r.Labels["severity"])
		}
		for _, annotation := range []string{"summary", "description"} {
			if r.Annotations[annotation] == "" {
				t.Errorf("%s: no %s", r.Alert, annotation)
			}
			for _, l := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(r.Annotations[annotation], -1) {
				if !slices.Contains(result, l[1]) {
					t.Errorf("%s: the %s shows label %s, which the expression has not: it has %v", r.Alert, annotation, l[1], result)
				}
			}
		}
		anchor := strings.ToLower(r.Alert)
		if want := "https://github.com/pushtunnel/pushtunnel/blob/main/docs/RUNBOOK.md#" + anchor; r.Annotations["runbook_url"] != want {
			t.Errorf("%s: got a runbook at %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !strings.Contains(runbook, "\n## "+r.Alert+"\n") {
			t.Errorf("%s: docs/RUNBOOK.md does not have it", r.Alert)
		}
		if !strings.Contains(runbook, fmt.Sprintf("| [%s](#%s) | %s |", r.Alert, anchor, r.Labels["severity"])) {
			t.Errorf("%s: it is not in the table of docs/RUNBOOK.md, with its severity", r.Alert)
		}
	}
	if got := strings.Count(runbook, "\n## "); got != len(names) || got == 0 {
		t.Errorf("docs/RUNBOOK.md has %d alerts, and there are %d", got, len(names))
	}
}

// panel is what every panel of a dashboard has.
type panel struct {
	ID      int                        `json:"id"`
	Type    string                     `json:"type"`
	Title   string                     `json:"title"`
	Grid    struct{ H, W, X, Y int }   `json:"gridPos"`
	Source  struct{ Type, UID string } `json:"datasource"`
	Targets []struct {
		Expr, LegendFormat, RefID string
		Datasource                struct{ UID string }
	} `json:"targets"`
}

func TestDashboard(t *testing.T) {
	var board struct {
		UID           string
		Title         string
		SchemaVersion int
		Panels        []panel
		Templating    struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(read(t, "deploy/grafana/pushtunnel.json"), &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || board.Title == "" || board.SchemaVersion < 39 {
		t.Errorf("got uid %q, title %q and schemaVersion %d", board.UID, board.Title, board.SchemaVersion)
	}
	types, labels := exported(t)
	c := &checker{types, labels, map[string]bool{}}
	var variables []string
	values := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range board.Templating.List {
		variables = append(variables, v.Name)
		if v.Type != "query" {
			continue
		}
		m := values.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Fatalf("variable %s: %q", v.Name, v.Definition)
		}
		c.check(t, "variable "+v.Name, m[1])
		if problem := c.has(series.FindStringSubmatch(m[1])[1], m[2]); problem != "" {
			t.Errorf("variable %s: %s", v.Name, problem)
		}
	}
	if diff := cmp.Diff([]string{"datasource", "job", "instance"}, variables); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	ids := map[int]bool{}
	for i, p := range board.Panels {
		if p.ID <= 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("panel %q has the id %d, which is not its own", p.Title, p.ID)
		}
		ids[p.ID] = true
		if g := p.Grid; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 || g.Y < 0 {
			t.Errorf("panel %q is outside of the grid: %+v", p.Title, g)
		}
		for _, q := range board.Panels[:i] {
			a, b := p.Grid, q.Grid
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, q.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Source.UID != "${datasource}" || p.Source.Type != "prometheus" || len(p.Targets) == 0 {
			t.Errorf("panel %q: data source %+v, %d targets", p.Title, p.Source, len(p.Targets))
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			where := fmt.Sprintf("panel %q, %s", p.Title, target.RefID)
			if refs[target.RefID] || target.Datasource.UID != "${datasource}" {
				t.Errorf("%s: there twice, or of another data source", where)
			}
			refs[target.RefID] = true
			result := c.check(t, where, target.Expr)
			for _, l := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(result, l[1]) {
					t.Errorf("%s: the legend shows label %s, which the expression has not: it has %v", where, l[1], result)
				}
			}
			for _, m := range series.FindAllStringSubmatch(target.Expr, -1) {
				if !strings.Contains(m[2], `job=~"$job", instance=~"$instance"`) {
					t.Errorf("%s: %s is of all servers, whatever is chosen", where, m[1])
				}
			}
		}
	}
	c.wantAllUsed(t, "the dashboard")
}

// docs/METRICS.md lists what there is, and nothing else.
func TestDocumentation(t *testing.T) {
	types, labels := exported(t)
	row := regexp.MustCompile("(?m)^\\| `(pushtunnel_\\w+)` \\| (\\w+) \\| ([^|]*)\\| ([^|]+) \\|$")
	documented := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(read(t, "docs/METRICS.md")), -1) {
		name, labelList := m[1], listed.FindAllString(m[3], -1)
		documented[name] = true
		if m[2] != types[name] {
			t.Errorf("%s is documented as a %s, and is a %s", name, m[2], types[name])
		}
		slices.Sort(labelList)
		if diff := cmp.Diff(append([]string{}, labelList...), labels[name]); diff != "" {
			t.Errorf("%s: labels (-documented +exported):\n%s", name, diff)
		}
	}
	for name := range types {
		if !documented[name] {
			t.Errorf("%s is not documented", name)
		}
	}
	for name := range documented {
		if types[name] == "" {
			t.Errorf("%s is documented, and not exported", name)
		}
	}
}
