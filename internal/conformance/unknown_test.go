package conformance

import (
	"context"
	"testing"
)

// TestUnknownMethods is about calls of what is not registered.
func TestUnknownMethods(t *testing.T) {
	names := map[string]string{
		"a method that is not there":         "/conformance.Service/None",
		"a service that is not there":        "/conformance.None/Unary",
		"a method without a name":            "/conformance.Service/",
		"a service without a name":           "//Unary",
		"neither service nor method":         "/",
		"one word":                           "/Unary",
		"three words":                        "/conformance/Service/Unary",
		"the method of another kind":         "/conformance.Service/unary",
		"a method with a character to quote": "/conformance.Service/No%20ne\"",
	}
	scenarios := map[string]scenario{}
	for name, method := range names {
		scenarios[name] = scenario{
			handlers: handlers{unary: echoUnary, stream: echo},
			call: func(ctx context.Context, c *call) {
				c.invoke(ctx, method, text("a"), finishing(c.tr))
				for _, kind := range methods {
					if s := c.openAs(ctx, descs[kind], method); s != nil {
						s.SendMsg(text("a")) // the answer may be there before
						s.finish()
					}
				}
			},
			want: "Unimplemented",
		}
	}
	compare(t, scenarios)
}

// TestLargeRequestsOfUnknownMethods: large requests to what is not there do no harm to
// the calls beside them.
func TestLargeRequestsOfUnknownMethods(t *testing.T) {
	compare(t, map[string]scenario{"unary and stream": {
		handlers: handlers{unary: echoUnary, stream: echo},
		call: func(ctx context.Context, c *call) {
			s := c.open(ctx, bidiMethod)
			c.invoke(ctx, "/conformance.Service/None", size(3<<20))
			unknown := c.openAs(ctx, descs[bidiMethod], "/conformance.Service/None")
			for unknown.SendMsg(size(100_000)) == nil {
			}
			unknown.finish()
			s.send(text("a"))
			s.recv()
			s.closeSend()
			s.finish()
		},
		want: "EOF",
	}})
}
