// An endpoint for notifications of banks with net/http and pgx v4: POST /hooks/<name of the bank>.
// Served at 127.0.0.1:$PORT, with PGDATABASE and the like from the environment. With pgx v5 only the import differs.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/jackc/pgx/v4/pgxpool"
)

const tooLarge = 256*1024 + 1 // more is not read: pgw refuses this much

func hook(db *pgxpool.Pool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusInternalServerError // nothing was taken: it is sent again
		defer func() { w.WriteHeader(status) }()
		if r.Method != http.MethodPost {
			status = http.StatusMethodNotAllowed
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, tooLarge))
		if err != nil {
			return
		}
		headers, err := json.Marshal(r.Header) // a list for each name
		if err != nil {
			return
		}
		var said int
		// a statement by itself: committed when it returns
		err = db.QueryRow(r.Context(), "SELECT http_status FROM pgw.receive_notification($1, $2, $3, url => $4)",
			strings.TrimPrefix(r.URL.Path, "/hooks/"), string(headers), body, "https://"+r.Host+r.URL.RequestURI()).Scan(&said)
		if err == nil {
			status = said
		}
	}
}

func main() {
	db, err := pgxpool.Connect(context.Background(), "")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/hooks/", hook(db))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
