package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"time"
)

//go:embed assets
var assets embed.FS

// static returns a handler of the files: "/" is the page, and the others are beside it.
func static() *http.ServeMux {
	mux := http.NewServeMux()
	files, err := fs.Glob(assets, "assets/*")
	if err != nil {
		panic(err) //nolint:forbidigo // a mistake in the program
	}
	for _, file := range files {
		data, err := assets.ReadFile(file)
		if err != nil {
			panic(err) //nolint:forbidigo // a mistake in the program
		}
		name := file[len("assets/"):]
		path := "/" + name
		if name == "index.html" {
			path = "/{$}"
		}
		sum := sha256.Sum256(data)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Cache-Control", "no-cache") // ask whether it has changed
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
		})
	}
	return mux
}
