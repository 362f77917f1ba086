//go:build unix

package deploytest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// example is what the example for Kubernetes consists of.
type example struct {
	config     corev1.ConfigMap
	deployment appsv1.Deployment
	clients    corev1.Service // for clients
	pods       corev1.Service // for callers
	disruption policyv1.PodDisruptionBudget
	network    networkingv1.NetworkPolicy
}

// load reads the example as Kubernetes does: a field that it does not know is an error.
func load(t *testing.T) *example {
	t.Helper()
	e := &example{}
	into := map[string]any{
		"ConfigMap/pushtunnel": &e.config, "Deployment/pushtunnel": &e.deployment,
		"Service/pushtunnel": &e.clients, "Service/pushtunnel-pods": &e.pods,
		"PodDisruptionBudget/pushtunnel": &e.disruption, "NetworkPolicy/pushtunnel": &e.network,
	}
	versions := map[string]string{
		"ConfigMap": "v1", "Service": "v1", "Deployment": "apps/v1", "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1",
	}
	for part := range strings.SplitSeq(read(t, "kubernetes/pushtunnel.yaml"), "\n---\n") {
		var head metav1.PartialObjectMetadata
		if err := yaml.Unmarshal([]byte(part), &head); err != nil {
			t.Fatal(err)
		}
		key := head.Kind + "/" + head.Name
		to, ok := into[key]
		if !ok || head.APIVersion != versions[head.Kind] {
			t.Fatalf("got %s of %s: it is not known here, or there twice", key, head.APIVersion)
		}
		delete(into, key)
		if err := yaml.UnmarshalStrict([]byte(part), to); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	for key := range into {
		t.Errorf("there is no %s", key)
	}
	return e
}

// settings returns the settings of the server in a pod.
func (e *example) settings(t *testing.T) (text string, s struct {
	Listen      string `json:"listen"`
	AdminListen string `json:"admin-listen"`
	Delay       string `json:"drain-delay"`
	Timeout     string `json:"shutdown-timeout"`
},
) {
	t.Helper()
	text = e.config.Data["pushtunnel.yaml"]
	if err := yaml.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return text, s
}

// port returns the port of ":7420". Another address is none that others can reach.
func port(t *testing.T, addr string) int32 {
	t.Helper()
	host, p, err := net.SplitHostPort(addr)
	n, bad := strconv.ParseInt(p, 10, 32)
	if err != nil || bad != nil || host != "" {
		t.Fatalf("%q is no address of all networks", addr)
	}
	return int32(n)
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The settings are good, where the pod has its files.
func TestKubernetesSettings(t *testing.T) {
	e := load(t)
	text, _ := e.settings(t)
	c := e.deployment.Spec.Template.Spec.Containers[0]
	if want := []string{"serve", "--config", "/conf/pushtunnel.yaml"}; !slices.Equal(c.Args, want) {
		t.Errorf("got the arguments %q, want %q", c.Args, want)
	}
	from := make(map[string]string)
	for _, v := range e.deployment.Spec.Template.Spec.Volumes {
		switch {
		case v.ConfigMap != nil:
			from[v.Name] = "ConfigMap/" + v.ConfigMap.Name
		case v.Secret != nil:
			from[v.Name] = "Secret/" + v.Secret.SecretName
		}
	}
	mounted := make(map[string]string)
	for _, m := range c.VolumeMounts {
		mounted[m.MountPath] = from[m.Name]
	}
	if mounted["/conf"] != "ConfigMap/"+e.config.Name || mounted["/secrets"] != "Secret/pushtunnel" {
		t.Errorf("got the volumes %v", mounted)
	}
	dir, _ := secret(t)
	if out, err := exec.CommandContext(t.Context(), program(t), "serve", "--check-config", "--config", settingsIn(t, text, dir)).CombinedOutput(); err != nil {
		t.Errorf("pushtunnel serve --check-config: %v: %s", err, out)
	}
}

// settingsIn writes the settings for a secret that is in dir.
func settingsIn(t *testing.T, text, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pushtunnel.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "/secrets/", dir+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A pod has the time to part from its clients, and gets no new ones meanwhile.
func TestKubernetesDrains(t *testing.T) {
	e := load(t)
	_, s := e.settings(t)
	pod := e.deployment.Spec.Template.Spec
	delay, timeout := duration(t, s.Delay), duration(t, s.Timeout)
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace <= delay+timeout {
		t.Errorf("got %v until a pod is killed, want more than drain-delay and shutdown-timeout: %v", grace, delay+timeout)
	}
	ready := pod.Containers[0].ReadinessProbe
	if lost := time.Duration(ready.PeriodSeconds*max(ready.FailureThreshold, 3)) * time.Second; delay < lost {
		t.Errorf("got %v until clients are asked to move, want %v, until the probe has failed", delay, lost)
	}
	if r := e.deployment.Spec.Replicas; r == nil || *r != 2 {
		t.Errorf("got %v replicas, want 2", r)
	}
	if u := e.deployment.Spec.Strategy.RollingUpdate; *u.MaxUnavailable != intstr.FromInt32(0) {
		t.Errorf("got maxUnavailable %v, want none", u.MaxUnavailable)
	}
	if m := e.disruption.Spec.MinAvailable; *m != intstr.FromInt32(1) {
		t.Errorf("got minAvailable %v, want 1: with 2 no node can be drained", m)
	}
	spread := pod.TopologySpreadConstraints
	if len(spread) != 1 || spread[0].TopologyKey != corev1.LabelHostname {
		t.Errorf("got %v, want pods on different nodes", spread)
	}
}

// All that selects pods selects these, by ports that they have.
func TestKubernetesFits(t *testing.T) {
	e := load(t)
	_, s := e.settings(t)
	template := e.deployment.Spec.Template
	of := labels.Set(template.Labels)
	for name, selector := range map[string]*metav1.LabelSelector{
		"deployment": e.deployment.Spec.Selector, "disruption budget": e.disruption.Spec.Selector, "network policy": &e.network.Spec.PodSelector,
		"spread":   template.Spec.TopologySpreadConstraints[0].LabelSelector,
		"services": {MatchLabels: e.clients.Spec.Selector}, "headless service": {MatchLabels: e.pods.Spec.Selector},
	} {
		if l, err := metav1.LabelSelectorAsSelector(selector); err != nil || l.Empty() || !l.Matches(of) {
			t.Errorf("the %s does not select the pods: %v, %v", name, selector, err)
		}
	}
	ports := make(map[string]int32)
	c := template.Spec.Containers[0]
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	if ports["grpc"] != port(t, s.Listen) || ports["admin"] != port(t, s.AdminListen) {
		t.Errorf("got the ports %v, want those of the settings: %+v", ports, s)
	}
	for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
		if p.HTTPGet.Port != intstr.FromString("admin") {
			t.Errorf("got a probe of port %v, want admin", p.HTTPGet.Port)
		}
	}
	for _, service := range []corev1.Service{e.clients, e.pods} {
		if p := service.Spec.Ports; len(p) != 1 || p[0].TargetPort != intstr.FromString("grpc") {
			t.Errorf("got the ports %v of service %s, want grpc alone", p, service.Name)
		}
	}
	if e.pods.Spec.ClusterIP != corev1.ClusterIPNone || !e.pods.Spec.PublishNotReadyAddresses {
		t.Error("the service for callers has not the addresses of all pods")
	}
	for _, rule := range e.network.Spec.Ingress {
		for _, p := range rule.Ports {
			if open := len(rule.From) == 0; open != (*p.Port == intstr.FromString("grpc")) {
				t.Errorf("got port %v open to all: %v", p.Port, open)
			}
		}
	}
}

// The pods pass what Kubernetes calls the restricted standard, and have no settings by accident.
func TestKubernetesIsConfined(t *testing.T) {
	pod := load(t).deployment.Spec.Template.Spec
	c := pod.Containers[0].SecurityContext
	if p := pod.SecurityContext; !*p.RunAsNonRoot || *p.RunAsUser != 65532 || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("got %v, want nobody's rights", p)
	}
	if *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("got %v, want no rights", c)
	}
	if *pod.EnableServiceLinks || *pod.AutomountServiceAccountToken {
		t.Error("the pod has variables and tokens that it has no use for")
	}
}
