// Package page shows operators, in a browser, who is connected to a server and what
// goes on: a small page that is served from the binary and keeps itself up to date.
//
//	p := page.New()
//	push := server.New(p.Option())
//	adminMux.Handle("/", p)
//	defer p.Close()
//
// It only shows; nothing can be changed by it. It has no access control: whoever can
// reach it sees names, labels and addresses, so it belongs on a port that operators
// alone can reach, or behind something that knows them. It never shows the whole id of
// a session, with which a client could take the session's place.
//
// Its names in URLs are relative: it may be mounted anywhere, with http.StripPrefix.
// docs/ADMIN.md has pictures and says what it costs.
package page
