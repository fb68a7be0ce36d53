// An application's tests against the bank `test`, with database/sql and lib/pq. PostgreSQL with pgw is all that they need.
// PGDATABASE and the like say where. The database is one for tests, and the role its superuser: it sets the test bank's time-out.
package orders

import (
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/lib/pq"
)

// What a transaction, a connection and the pool have in common.
type queryer interface {
	QueryRow(query string, args ...any) *sql.Row
	Exec(query string, args ...any) (sql.Result, error)
}

type payment struct {
	ID, Transaction, Status string
	Code, Key               sql.NullString
	Replayed                bool
	Refunded                int64
}

const columns = `payment_id, transaction_id, status, error_code, details->>'customer_message_key', replayed, refunded_amount`

func scan(row *sql.Row) (p payment, err error) {
	err = row.Scan(&p.ID, &p.Transaction, &p.Status, &p.Code, &p.Key, &p.Replayed, &p.Refunded)
	return
}

// Stands for your application: an order that is stored if it was paid, in the caller's transaction. An empty timeout or onFailure is the default.
func placeOrder(q queryer, order string, amount int64, token, timeout, onFailure string) (payment, error) {
	pay, err := scan(q.QueryRow(`SELECT `+columns+` FROM pgw.process_payment(client_request_id => $1, amount => $2, currency => 'EUR', token => $3,
		timeout => nullif($4, '')::interval, on_failure => nullif($5, ''))`, "order-"+order, amount, token, timeout, onFailure))
	if err == nil && (pay.Status == "captured" || pay.Status == "pending") {
		_, err = q.Exec(`INSERT INTO orders (id, amount, payment_id) VALUES ($1, $2, $3)`, order, amount, pay.ID)
	}
	return pay, err
}

// ---- fixtures

var db *sql.DB

func TestMain(m *testing.M) {
	var err error
	if db, err = sql.Open("postgres", "sslmode=disable"); err == nil {
		_, err = db.Exec(`CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments);
			UPDATE pgw.banks SET request_timeout = '300ms' WHERE name = 'test'`) // so that time-outs are fast
	}
	status := 1
	if err == nil {
		status = m.Run()
		_, err = db.Exec(`DELETE FROM orders; SELECT pgw.purge_test_data()`)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func is[T comparable](t *testing.T, got, expected T) {
	t.Helper()
	if got != expected {
		t.Errorf("got %v, expected %v", got, expected)
	}
}

// An id of its own for each test and run: attempts stay when a test rolls back.
func newOrder(t *testing.T) string {
	b := make([]byte, 16)
	must[int](t)(rand.Read(b))
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// A transaction that is rolled back after the test; pgw gives the charges back.
func rolledBack(t *testing.T) *sql.Tx {
	tx := must[*sql.Tx](t)(db.Begin())
	t.Cleanup(func() { tx.Rollback() })
	return tx
}

// An order that is committed.
func placed(t *testing.T, order, token, timeout string) payment {
	t.Helper()
	tx := must[*sql.Tx](t)(db.Begin())
	defer tx.Rollback()
	pay := must[payment](t)(placeOrder(tx, order, 4990, token, timeout, ""))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return pay
}

func wait(t *testing.T, id string) payment {
	t.Helper()
	return must[payment](t)(scan(db.QueryRow(`SELECT `+columns+` FROM pgw.wait_for_payment($1)`, id)))
}

func count(t *testing.T, q queryer, query string, args ...any) (n int) {
	t.Helper()
	if err := q.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return
}

func orders(t *testing.T, q queryer, order string) int {
	t.Helper()
	return count(t, q, `SELECT count(*) FROM orders WHERE id = $1`, order)
}

// ---- in a transaction that is rolled back

func TestPaid(t *testing.T) {
	tx, order := rolledBack(t), newOrder(t)
	is(t, must[payment](t)(placeOrder(tx, order, 4990, "tok_ok", "", "")).Status, "captured")
	is(t, orders(t, tx, order), 1)
}

func TestSameIDIsTheSamePayment(t *testing.T) {
	tx, order := rolledBack(t), newOrder(t)
	first := must[payment](t)(placeOrder(tx, order, 4990, "tok_ok", "", ""))
	again := must[payment](t)(scan(tx.QueryRow(`SELECT `+columns+` FROM pgw.process_payment($1, 4990, 'EUR', 'tok_ok')`, "order-"+order)))
	is(t, again.ID, first.ID)
	is(t, again.Replayed, true)
}

func TestDeclined(t *testing.T) {
	for _, c := range []struct{ token, code, key string }{
		{"tok_decline_insufficient_funds", "insufficient_funds", "insufficient_funds"},
		{"tok_decline_lost_card", "lost_or_stolen_card", "declined"},
		{"tok_auth_required", "authentication_required", "use_other_card"},
	} {
		t.Run(c.token, func(t *testing.T) {
			tx, order := rolledBack(t), newOrder(t)
			pay := must[payment](t)(placeOrder(tx, order, 4990, c.token, "", ""))
			is(t, pay.Status, "declined")
			is(t, pay.Code.String, c.code)
			is(t, pay.Key.String, c.key)
			is(t, orders(t, tx, order), 0)
		})
	}
}

func TestDeclinedAsAnError(t *testing.T) {
	tx, order := rolledBack(t), newOrder(t)
	must[sql.Result](t)(tx.Exec(`SAVEPOINT place_order`))
	_, err := placeOrder(tx, order, 4990, "tok_decline_fraud", "", "raise")
	var declined *pq.Error
	if !errors.As(err, &declined) {
		t.Fatal(err)
	}
	is(t, string(declined.Code), "PW402")
	var detail struct{ Code string }
	if err := json.Unmarshal([]byte(declined.Detail), &detail); err != nil {
		t.Fatal(err)
	}
	is(t, detail.Code, "suspected_fraud")
	must[sql.Result](t)(tx.Exec(`ROLLBACK TO SAVEPOINT place_order`))
	is(t, orders(t, tx, order), 0)
}

// ---- what the bank does when nobody listens

// Charged or not, the answer does not come: the caller goes on with `pending`, and pgw finds out.
func TestUnknownAtFirst(t *testing.T) {
	for _, token := range []string{"tok_timeout_after", "tok_timeout_before_1", "tok_reset_after"} {
		t.Run(token, func(t *testing.T) {
			pay := placed(t, newOrder(t), token, "100ms")
			if pay.Status != "captured" { // a lost answer may be found out within the time
				is(t, pay.Status, "pending")
			}
			is(t, wait(t, pay.ID).Status, "captured")
			is(t, count(t, db, `SELECT count(*) FROM pgw.test_bank_ledger WHERE status = 'approved'
				AND reference = replace($1::text, '-', '')`, pay.Transaction), 1)
		})
	}
}

// ---- after the commit

func submit(q queryer, order string) (payment, error) {
	return scan(q.QueryRow(`SELECT `+columns+` FROM pgw.submit_payment($1, 1500, 'EUR', 'tok_ok')`, "order-"+order))
}

func TestSubmitted(t *testing.T) {
	pay := must[payment](t)(submit(db, newOrder(t)))
	is(t, pay.Status, "pending")
	is(t, wait(t, pay.ID).Status, "captured")
}

func TestSubmittedAndRolledBack(t *testing.T) {
	tx, order := rolledBack(t), newOrder(t)
	must[payment](t)(submit(tx, order))
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	is(t, count(t, db, `SELECT count(*) FROM pgw.find_payment($1)`, "order-"+order), 0)
}

func TestRefund(t *testing.T) {
	order := newOrder(t)
	pay := placed(t, order, "tok_ok", "")
	must[sql.Result](t)(db.Exec(`SELECT pgw.refund_payment($1, $2, 1000)`, pay.ID, "return-"+order))
	paid := wait(t, pay.ID)
	is(t, paid.Status, "partially_refunded")
	is(t, paid.Refunded, 1000)
}

func TestRefundThatTheBankRefuses(t *testing.T) {
	order := newOrder(t)
	pay := placed(t, order, "tok_refund_fail", "")
	must[sql.Result](t)(db.Exec(`SELECT pgw.refund_payment($1, $2)`, pay.ID, "return-"+order))
	paid := wait(t, pay.ID)
	is(t, paid.Status, "captured")
	is(t, paid.Refunded, 0)
}
