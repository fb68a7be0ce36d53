-- process_payments(): what a document may hold; every fault at once, and nothing sent.
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset format unaligned
SELECT count(*) AS "from" FROM pgw.payment_transactions \gset
\set VERBOSITY default
SELECT * FROM pgw.process_payments(NULL);
SELECT * FROM pgw.process_payments('{}');
SELECT * FROM pgw.process_payments('"text"');
SELECT * FROM pgw.process_payments('[1, {}]');
SELECT * FROM pgw.process_payments('[]', atomic => NULL);
SELECT * FROM pgw.process_payments('[]', timeout => '-1s');
SELECT * FROM pgw.process_payments((SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 1001)));
SELECT * FROM pgw.process_payments('[{"client_request_id": 1, "amount": "100", "currency": null, "token": true, "metadata": [], "bank_fields": "x", "what": 1, "123456": 1}]');
SELECT * FROM pgw.process_payments('[{"client_request_id": "b1", "amount": 100, "currency": "EUR", "token": "tok_ok"},
	{"client_request_id": "b2", "amount": 49.90, "currency": "eur", "token": "", "capture": "sometimes", "options": {"a": 1}},
	{"client_request_id": "b3", "amount": 1e30, "currency": "EUR"},
	{"client_request_id": "b4", "amount": 1, "currency": "EUR", "token": "tok_ok", "capture": null, "merchant": null, "metadata": null}]');
-- tokens only
SELECT * FROM pgw.process_payments('[{"client_request_id": "b1", "amount": 100, "currency": "EUR", "card_number": "x", "card_expiry_month": 1, "card_expiry_year": 2030, "card_cvv": "x", "card_holder": "x"}]');
SELECT * FROM pgw.process_payments(jsonb_build_array(jsonb_build_object('client_request_id', 'b1', 'amount', 100, 'currency', 'EUR', 'token', repeat('4242', 4))));
SELECT * FROM pgw.process_payments(jsonb_build_array(jsonb_build_object('client_request_id', 'b1', 'amount', 100, 'currency', 'EUR', 'token', 'tok_ok', 'metadata', jsonb_build_object('n', repeat('4242', 4)))));
-- one id twice; of two merchants it is two ids
SELECT * FROM pgw.process_payments('[{"client_request_id": "b1", "amount": 100, "currency": "EUR", "token": "tok_ok"}, {"client_request_id": "b2", "amount": 100, "currency": "EUR", "token": "tok_ok"},
	{"client_request_id": "b1", "amount": 100, "currency": "EUR", "token": "tok_ok"}]');
BEGIN READ ONLY;
SELECT * FROM pgw.process_payments('[]');
ROLLBACK;
\set VERBOSITY terse
-- one call for each column: with ids that stay, the second replays
SELECT (pgw.process_payments(jsonb_build_array(jsonb_build_object('client_request_id', gen_random_uuid(), 'amount', 100, 'currency', 'EUR', 'token', 'tok_ok')))).*;
\echo :SQLSTATE
SELECT count(*) - :from AS recorded FROM pgw.payment_transactions;
SELECT ordinal, client_request_id, status, transaction_status, amount, currency, captured_amount, bank, error_code, http_status, replayed, reference, details FROM
	pgw.process_payments('[{"client_request_id": "b2", "amount": 200, "currency": "EUR", "token": "tok_ok", "reference": "r2", "metadata": {"k": 1}},
		{"client_request_id": "b1", "amount": 100, "currency": "USD", "token": "tok_ok", "capture": "manual"}]');
SELECT ordinal, client_request_id, status, error_class, error_code, error_message, http_status, retryable, replayed, details FROM
	pgw.process_payments('[{"client_request_id": "b3", "amount": 200, "currency": "EUR", "token": "tok_decline_fraud"}, {"client_request_id": "b1", "amount": 100, "currency": "EUR", "token": "tok_ok"},
		{"client_request_id": "b2", "amount": 200, "currency": "EUR", "token": "tok_ok", "reference": "r2"}]', atomic => false);
SELECT (pgw.process_payments('[{"client_request_id": "b4", "amount": 1, "currency": "EUR", "token": "tok_ok"}]')).status;
SELECT r.status FROM (VALUES ('b5'), ('b6')) v (id), pgw.process_payments(jsonb_build_array(jsonb_build_object('client_request_id', id, 'amount', 1, 'currency', 'EUR', 'token', 'tok_ok'))) r;
SELECT client_request_id, metadata, status FROM pgw.payments WHERE client_request_id ~ '^b[1-6]$' ORDER BY 1;
