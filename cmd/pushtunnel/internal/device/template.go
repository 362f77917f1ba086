package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Templates answer with JSON that is made by templates of the request: by text/template,
// with a Fill. A template may make several JSON values, which are the messages of a
// stream.
type Templates struct {
	rules []rule
}

type rule struct {
	method string // empty: any
	text   *template.Template
}

// Fill is what a template is filled with.
type Fill struct {
	Name     string              // the client's
	Method   string              // "package.Service/Method"
	Call     int64               // the number of the call, from 1
	Metadata map[string][]string // of the call
	Request  any                 // the message; the last one of a stream
	Requests []any               // all that have come
	Now      time.Time
}

var functions = template.FuncMap{
	"json": func(v any) (string, error) {
		data, err := json.Marshal(v)
		return string(data), err
	},
}

// ParseTemplates reads answers: "TEMPLATE" for all methods, or "METHOD=TEMPLATE", where
// METHOD is "Method", "Service/Method" or "package.Service/Method". A template that
// begins with @ is the file of that name. The first that fits answers; a method that
// none fits gets an empty message.
func ParseTemplates(answers []string) (*Templates, error) {
	t := &Templates{}
	for _, a := range answers {
		method, text := "", a
		if m, rest, ok := strings.Cut(a, "="); ok && !strings.ContainsAny(m, "{}[]\"@ \n") {
			method, text = m, rest
		}
		if path, ok := strings.CutPrefix(text, "@"); ok {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("pushtunnel: --answer: %w", err)
			}
			text = string(data)
		}
		parsed, err := template.New("answer").Funcs(functions).Option("missingkey=error").Parse(text)
		if err != nil {
			return nil, fmt.Errorf("pushtunnel: --answer: %w", err)
		}
		t.rules = append(t.rules, rule{method: method, text: parsed})
	}
	return t, nil
}

// find returns the template for a method, nil if there is none.
func (t *Templates) find(method string) *template.Template {
	for _, r := range t.rules {
		if r.method == "" || r.method == method || strings.HasSuffix(method, "/"+r.method) || strings.HasSuffix(method, "."+r.method) {
			return r.text
		}
	}
	return nil
}

// Answer answers a call: a request that streams when it has ended, and each message of
// a stream in both directions.
func (t *Templates) Answer(c *Call) error {
	text := t.find(c.Method)
	if text == nil || c.Descriptor == nil {
		return Empty{}.Answer(c)
	}
	fill := Fill{Name: c.Device.Name, Method: c.Method, Call: c.Number, Metadata: c.Metadata}
	for {
		data, err := c.Receive()
		if errors.Is(err, io.EOF) {
			if c.streamsAnswers() {
				return nil
			}
			return t.send(c, text, fill)
		} else if err != nil {
			return err
		}
		var request any
		if err := json.Unmarshal(data, &request); err != nil {
			return status.Errorf(codes.Internal, "pushtunnel: the request: %v", err)
		}
		fill.Request, fill.Requests = request, append(fill.Requests, request)
		if c.streamsRequests() && !c.streamsAnswers() {
			continue
		}
		if err := t.send(c, text, fill); err != nil || !c.streamsRequests() {
			return err
		}
	}
}

// send fills the template and sends what it makes.
func (t *Templates) send(c *Call, text *template.Template, fill Fill) error {
	fill.Now = time.Now()
	var b bytes.Buffer
	if err := text.Execute(&b, fill); err != nil {
		return status.Errorf(codes.Internal, "pushtunnel: the template of the answer: %v", err)
	}
	return sendAll(c, json.NewDecoder(&b))
}

// sendAll sends JSON values as they come: one, or any number if the method streams
// answers.
func sendAll(c *Call, values *json.Decoder) error {
	for n := 0; ; n++ {
		var v json.RawMessage
		switch err := values.Decode(&v); {
		case errors.Is(err, io.EOF) && n == 0 && !c.streamsAnswers():
			v = json.RawMessage("{}")
			return c.Send(v)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return status.Errorf(codes.Internal, "pushtunnel: the answer is no JSON: %v", err)
		case n == 1 && !c.streamsAnswers():
			return status.Errorf(codes.Internal, "pushtunnel: more than one answer, and %s does not stream", c.Method)
		}
		if err := c.Send(v); err != nil {
			return err
		}
	}
}
