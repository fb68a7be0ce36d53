// The cases of make check-clients with pgx v4; argument "simple": with the simple protocol, which writes the parameters into the statement.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

const (
	payment  = "SELECT %s FROM pgw.process_payment($1, $2, $3, $4)"
	withCard = `SELECT status::text FROM pgw.process_payment($1, 4990, 'EUR', card_number => $2, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => $3)`
	take     = "UPDATE stock SET n = n - 1 WHERE run = $1"
)

var (
	ctx    = context.Background()
	run    = os.Getenv("RUN")
	card   = strings.Repeat("4242", 4)
	simple = len(os.Args) > 1 && os.Args[1] == "simple"
)

func connected() *pgx.Conn {
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		panic(err)
	}
	// server-side prepared statements do not outlive a transaction behind a pooler
	config.BuildStatementCache = nil
	config.PreferSimpleProtocol = simple
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		panic(err)
	}
	return conn
}

// The one column of the one row, as text.
func text(c *pgx.Conn, sql string, values ...any) (said string, err error) {
	err = c.QueryRow(ctx, sql, values...).Scan(&said)
	return
}

func pay(c *pgx.Conn, column, name, token string) (string, error) {
	return text(c, fmt.Sprintf(payment, column), run+"-"+name, 4990, "EUR", token)
}

func once(c, other *pgx.Conn, first bool) (status string, err error) {
	tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		return
	}
	defer tx.Rollback(ctx)
	var n int
	if err = tx.QueryRow(ctx, "SELECT n FROM stock WHERE run = $1", run).Scan(&n); err != nil {
		return
	}
	if status, err = pay(c, "status::text", "40001", "tok_ok"); err != nil {
		return
	}
	if first {
		if _, err = other.Exec(ctx, take, run); err != nil {
			return
		}
	}
	if _, err = tx.Exec(ctx, take, run); err != nil {
		return
	}
	return status, tx.Commit(ctx)
}

func serialization(c *pgx.Conn) (string, error) {
	other := connected()
	defer other.Close(ctx)
	for attempt := 1; ; attempt++ {
		status, err := once(c, other, attempt == 1)
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != "40001" || attempt == 3 {
			return fmt.Sprintf("%s at %d", status, attempt), err
		}
	}
}

// As listeners do, it waits without a statement of its own; another connection pays.
func notify(c *pgx.Conn) (string, error) {
	if _, err := c.Exec(ctx, "LISTEN pgw_payments"); err != nil {
		return "", err
	}
	other := connected()
	defer other.Close(ctx)
	id, err := text(other, "SELECT payment_id::text FROM pgw.submit_payment($1, $2, $3, $4)", run+"-notify", 4990, "EUR", "tok_ok")
	if err == nil {
		_, err = text(other, "SELECT status::text FROM pgw.wait_for_payment($1)", id)
	}
	if err != nil {
		return "", err
	}
	seconds, err := time.ParseDuration(os.Getenv("LISTEN_SECONDS") + "s")
	if err != nil {
		return "", err
	}
	wait, cancel := context.WithTimeout(ctx, seconds)
	defer cancel()
	for {
		heard, err := c.WaitForNotification(wait)
		if err != nil {
			return "lost", nil
		}
		if strings.Contains(heard.Payload, id) {
			return "heard", nil
		}
	}
}

func refund(c *pgx.Conn) (string, error) {
	id, err := pay(c, "payment_id::text", "refund", "tok_ok")
	if err == nil {
		_, err = text(c, "SELECT status::text FROM pgw.refund_payment($1, $2)", id, run+"-back")
	}
	if err != nil {
		return "", err
	}
	return text(c, "SELECT status::text FROM pgw.wait_for_payment($1)", id)
}

func types(c *pgx.Conn) (string, error) {
	rows, err := c.Query(ctx, fmt.Sprintf(payment, "payment_id, status, amount, details, created_at, replayed"), run+"-token", 4990, "EUR", "tok_ok")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	if !rows.Next() {
		return "", rows.Err()
	}
	values, err := rows.Values()
	said := make([]string, len(values))
	for i, v := range values {
		said[i] = fmt.Sprintf("%T", v)
	}
	return strings.ReplaceAll(strings.Join(said, " "), "interface {}", "any"), err
}

func state(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return "connection lost"
	}
	if !strings.HasPrefix(e.Code, "PW") {
		return e.Code
	}
	if e.Detail != "" && strings.Contains("[{", e.Detail[:1]) {
		return e.Code + " DETAIL"
	}
	return e.Code + " no DETAIL"
}

func main() {
	cases := []struct {
		name string
		code func(*pgx.Conn) (string, error)
	}{
		{"token", func(c *pgx.Conn) (string, error) { return pay(c, "status::text", "token", "tok_ok") }},
		{"card_bound", func(c *pgx.Conn) (string, error) { return text(c, withCard, run+"-card", card, "123") }},
		{"card_interpolated", func(c *pgx.Conn) (string, error) {
			return text(c, strings.NewReplacer("$1", "'"+run+"-literal'", "$2", "'"+card+"'", "$3", "'123'").Replace(withCard))
		}},
		{"decline_row", func(c *pgx.Conn) (string, error) {
			return pay(c, "status || ' ' || error_code", "no", "tok_decline_insufficient_funds")
		}},
		{"decline_raise", func(c *pgx.Conn) (string, error) {
			return text(c, "SELECT status::text FROM pgw.process_payment($1, $2, $3, $4, on_failure => 'raise')", run+"-raise", 4990, "EUR", "tok_decline_do_not_honor")
		}},
		{"pw400", func(c *pgx.Conn) (string, error) {
			return text(c, fmt.Sprintf(payment, "status::text"), run+"-bad", 0, "EUR", "tok_ok")
		}},
		{"serialization", serialization},
		{"notify", notify},
		{"refund", refund},
		{"types", types},
	}
	for _, each := range cases {
		c := connected()
		result, err := each.code(c)
		if err != nil {
			result = state(err)
		}
		fmt.Printf("%s\t%s\n", each.name, result)
		c.Close(ctx)
	}
}
