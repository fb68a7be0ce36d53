// An order and its payment with Go's pgx v4: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGDATABASE and the like in the environment. With pgx v5 only the imports differ:
// github.com/jackc/pgx/v5, github.com/jackc/pgx/v5/pgconn. Not with PreferSimpleProtocol, where a card number would be refused.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

const tries = 5

var ctx = context.Background()

// What a connection and a transaction have in common.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

type payment struct {
	ID, Status string
	Code, Key  *string // nil without an error
	Replayed   bool
}

// One of pgw's functions that return a payment, called in FROM.
func call(q queryer, function string, args ...any) (p payment, err error) {
	err = q.QueryRow(ctx, "SELECT payment_id::text, status::text, error_code, details->>'customer_message_key', replayed FROM pgw."+function, args...).
		Scan(&p.ID, &p.Status, &p.Code, &p.Key, &p.Replayed)
	return
}

func once(conn *pgx.Conn, order string, amount int64, token string) (pay payment, err error) {
	err = conn.BeginTxFunc(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		var err error
		if pay, err = call(tx, "process_payment($1, $2, 'EUR', $3)", "order-"+order, amount, token); err != nil || pay.Status != "captured" {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO orders (id, amount, payment_id) VALUES ($1, $2, $3)", order, amount, pay.ID)
		return err
	})
	return
}

// The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
func placeOrder(conn *pgx.Conn, order string, amount int64, token string) (payment, error) {
	for attempt := 1; ; attempt++ {
		pay, err := once(conn, order, amount, token)
		var e *pgconn.PgError
		again := errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
		if !again || attempt == tries {
			return pay, err
		}
	}
}

func newID() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		log.Fatal(err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	conn := must(pgx.Connect(ctx, ""))
	defer conn.Close(ctx)
	must(conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))"))

	order := newID()
	paid := must(placeOrder(conn, order, 4990, "tok_ok"))
	fmt.Println("order:", paid.Status)
	// a web server that does not know whether it was heard asks again: the same payment, not a second one
	fmt.Println("again:", must(call(conn, "process_payment($1, 4990, 'EUR', 'tok_ok')", "order-"+order)).Replayed)

	declined := must(placeOrder(conn, newID(), 4990, "tok_decline_insufficient_funds"))
	fmt.Println("declined:", *declined.Code, "- tell the customer:", *declined.Key)

	// in a job: recorded with the order, sent after the commit
	late := must(call(conn, "submit_payment($1, 1500, 'EUR', 'tok_ok')", "order-"+newID()))
	fmt.Println("submitted:", late.Status)
	fmt.Println("then:", must(call(conn, "wait_for_payment($1)", late.ID)).Status)

	must(call(conn, "refund_payment($1, $2, 1000, $3)", paid.ID, "return-"+order, "one piece came back"))
	fmt.Println("refund:", must(call(conn, "wait_for_payment($1)", paid.ID)).Status)
}
