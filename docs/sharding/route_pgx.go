// Pay at the shard that has the request's slot, with pgx: go run route_pgx.go ID...
//
// SHARDS in the environment is the map, for each run of slots its first one and how its shard is reached: {"0": "host=…", "512": "host=…"}.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v4"
)

var named = regexp.MustCompile(`(?s)^s(0|[1-9][0-9]{0,3})\..+$`)

func slotOf(requestID string) int {
	if m := named.FindStringSubmatch(requestID); m != nil {
		if n, _ := strconv.Atoi(m[1]); n < 1024 {
			return n
		}
	}
	hash := sha256.Sum256([]byte(requestID))
	return int(hash[0])<<2 | int(hash[1])>>6
}

func slotOfID(paymentID [16]byte) int {
	return int(paymentID[8]&63)<<4 | int(paymentID[9])>>4
}

func at(shards map[int]string, slot int, sql string, args []interface{}, result ...interface{}) {
	first := 0
	for f := range shards {
		if f <= slot && f > first {
			first = f
		}
	}
	conn, err := pgx.Connect(context.Background(), shards[first])
	if err == nil {
		err = conn.QueryRow(context.Background(), sql, args...).Scan(result...)
		conn.Close(context.Background())
	}
	if err != nil {
		panic(err)
	}
}

// PW421 in either call: the map is old. Read it again, and make the same call with the same id; nothing was done.
func main() {
	shards := map[int]string{}
	if err := json.Unmarshal([]byte(os.Getenv("SHARDS")), &shards); err != nil {
		panic(err)
	}
	for _, id := range os.Args[1:] {
		var paymentID [16]byte
		var status, refund string
		at(shards, slotOf(id), "SELECT payment_id, status::text FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')", []interface{}{id}, &paymentID, &status)
		at(shards, slotOfID(paymentID), "SELECT transaction_status::text FROM pgw.refund_payment($1, $2, 990)", []interface{}{paymentID, "refund of " + id}, &refund)
		fmt.Printf("slot %d: %s, refund %s\n", slotOf(id), status, refund)
	}
}
