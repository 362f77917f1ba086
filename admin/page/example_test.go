package page_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pushtunnel/pushtunnel/admin/page"
	"github.com/pushtunnel/pushtunnel/metrics"
	"github.com/pushtunnel/pushtunnel/server"
)

// The page is told of a server by an option, and is an http.Handler of the program's own
// admin port. The metrics count the calls that it shows.
func Example() {
	m := metrics.New()
	p := page.New(
		page.WithHosts("tunnels.example.com"), // besides addresses and localhost
		page.WithMethods(func() []page.Method {
			var methods []page.Method
			for _, c := range m.Calls() {
				methods = append(methods, page.Method{Name: c.Method, InFlight: c.InFlight, Ended: c.Ended, Failed: c.Failed})
			}
			return methods
		}),
	)
	push := server.New(m.Option(), p.Option()) // and the options that you have
	mux := http.NewServeMux()
	mux.Handle("/tunnels/", http.StripPrefix("/tunnels", p))

	// In a program: http.ListenAndServe("localhost:9090", mux)
	web := httptest.NewServer(mux)
	defer web.Close()
	defer p.Close() // before: Close waits for pages that are open
	defer push.Close()

	answer, err := http.Get(web.URL + "/tunnels/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "<title>") {
			fmt.Println(lines.Text())
		}
	}
	// Output: <title>pushtunnel</title>
}
