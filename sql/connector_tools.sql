-- Tools for whoever writes a connector: what would be made of an answer.
\set VERBOSITY default
\set SHOW_CONTEXT never
-- judged(): one answer to the connector json, the parts of the result in lines
CREATE FUNCTION judged(operation text, status int, body text, headers text DEFAULT NULL, transaction_ref text DEFAULT NULL, original_ref text DEFAULT NULL)
RETURNS TABLE (part text, value text) LANGUAGE sql AS
$$ SELECT p.* FROM pgw.judge_answer('json', operation, status, headers, body, transaction_ref => transaction_ref, original_ref => original_ref) j,
	LATERAL (VALUES ('outcome', j.outcome), ('fields', j.fields::text), ('rule', j.rule), ('because', j.because),
		('passed over', nullif(jsonb_array_length(j.passed_over), 0)::text)) p (part, value) $$;
SELECT * FROM judged('charge', 201, '{"id": "ch_1", "status": "approved", "amount": 1234, "currency": "EUR", "captured": 1234, "reference": "order-7"}');
SELECT * FROM judged('charge', 200, '{"status": "declined", "error": {"code": "insufficient_funds"}}');
SELECT * FROM judged('charge', 429, 'try later', E'HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\n');
SELECT * FROM judged('charge', 429, NULL, '{"retry-after": 18}');
SELECT * FROM judged('charge', 302, '{"status": "approved"}');
SELECT * FROM judged('charge', 502, '<html>Bad gateway</html>');
-- whose is it? as the answer has it, unless the call says so
SELECT * FROM judged('charge', 200, '{"id": "ch_1", "status": "approved", "reference": "order-8"}', transaction_ref => 'order-7');
SELECT * FROM judged('charge', 200, '{"id": "ch_1", "status": "approved", "reference": "X-order-7"}', transaction_ref => 'order-7');
SELECT * FROM judged('lookup_charge', 200, '{"id": "ch_1", "status": "approved"}');
SELECT * FROM judged('lookup_charge', 200, '{"id": "ch_1", "status": "approved", "reference": "order-7"}', original_ref => 'order-7');
-- a key that is refused, an approval that lacks what follows it, what cannot be read
SELECT * FROM judged('refund', 401, '{"error": {"code": "unauthorized"}}');
SELECT * FROM judged('charge', 200, '{"status": "approved", "id": "", "amount": "much", "captured": "-5"}');
-- an amount counts in the currency that the answer names, or the call
SELECT fields FROM pgw.judge_answer('{"v": 1, "capabilities": {"tokens": true}, "operations": {"charge": {"method": "POST", "path": "/c", "body": {"t": "{{token}}"}, "answer":
	{"rules": [{"status": 200, "outcome": "approved"}], "fields": {"amount": "/a", "currency": "/c", "amount_format": "decimal"}}}}}', 'charge', 200, body => '{"a": "1.234", "c": "KWD"}')
UNION ALL SELECT fields FROM pgw.judge_answer('json', 'charge', 200, body => '{"amount": 5, "currency": "JPY"}', currency => 'EUR');
-- a document that is not stored yet, with an answer that says of itself in which mode it is
SELECT d.live, j.outcome, j.fields, j.rule, j.because FROM (VALUES (NULL), (true), (false)) d (live), pgw.judge_answer('{"v": 2, "capabilities": {"tokens": true}, "answers": {"a": {
	"rules": [{"status": 200, "outcome": "approved"}], "fields": {"livemode": "/live"}, "reference_echoed": false}}, "operations": {
	"charge": {"method": "POST", "path": "/c", "body": {"t": "{{token}}"}, "answer": "a"},
	"lookup_charge": {"method": "GET", "path": "/c?r={{original_ref}}", "answer": "a"}}}', 'lookup_charge', 200, body => '{"live": true}', livemode => d.live) j;
-- an id out of a header, and a header that says two things
SELECT h.headers, j.outcome, j.fields, j.because FROM (VALUES ('location: https://bank.example/transfers/t1'), (E'Location: /transfers/t1\nLocation: /transfers/t2')) h (headers),
	pgw.judge_answer('{"v": 2, "capabilities": {"tokens": true}, "operations": {"charge": {"method": "POST", "path": "/c", "body": {"t": "{{token}}"}, "answer":
	{"rules": [{"status": 201, "body": "empty", "outcome": "pending"}], "fields": {"bank_reference": {"from": "header:Location", "behind": "/transfers/"}}}}}}', 'charge', 201, h.headers) j;
-- the reference protocol says it of every answer: of a charge, of a ping; without it nothing is held against the bank
SELECT operation, said, outcome, because FROM (VALUES ('charge', '{"id": "ch_1", "status": "approved", "reference": "order-7"%s}'), ('ping', '{"status": "ok"%s}')) o (operation, body),
	(VALUES (''), (', "livemode": true'), (', "livemode": false')) l (said), pgw.judge_answer('json', operation, 200, body => format(o.body, said), livemode => true);
-- what looks like a card number is not kept, and so not shown
SELECT fields, because FROM pgw.judge_answer('json', 'charge', 200, body => format('{"status": "approved", "id": "ch_1", "authorization_code": "%s"}', spelt('visa')));
-- whoever has not read the page
SELECT pgw.judge_answer('bank', 'pay', 200);
\echo :SQLSTATE
SELECT pgw.judge_answer('jsn', 'charge', 0, 'Retry-After 30', 'x', currency => 'eur');
\echo :SQLSTATE
SELECT pgw.judge_answer(NULL, NULL, NULL);
\echo :SQLSTATE
SELECT pgw.judge_answer('{"v": 1}', 'charge', 200);
\echo :SQLSTATE
SELECT pgw.judge_answer('{"v": 1, "capabilities": {"tokens": true}, "operations": {"charge": {"method": "POST", "path": "/c", "body": {"t": "{{token}}"}, "answer": {"rules": [{"status": 200, "outcome": "approved"}]}}}}', 'refund', 200);
\echo :SQLSTATE
-- nothing of it is kept
SELECT count(*) FROM pgw.payments WHERE bank_reference = 'ch_1';

-- the request that a bank would be sent: keys, cards and what is computed of them are marks
CREATE FUNCTION rendered(operation text, arguments jsonb DEFAULT '{}', bank text DEFAULT 'tooled') RETURNS TABLE (part text, value text) LANGUAGE sql AS
$$ SELECT p.* FROM pgw.render_request(bank, operation, arguments) r,
	LATERAL (VALUES ('request', r.method || ' ' || r.url), ('headers', r.headers::text), ('body', r.body), ('samples', r.samples::text)) p (part, value) $$;
INSERT INTO pgw.connectors (name, definition) VALUES ('tooled', '{"v": 2, "capabilities": {"tokens": true, "cards": true},
	"computed": [{"name": "digest", "sha256": "{{body}}", "as": "hex"}, {"name": "login", "text": "{{secret.user}}:{{secret.password}}", "as": "base64"}],
	"headers": {"Authorization": "Basic {{computed.login}}", "Digest": "{{computed.digest}}", "Date": "{{now|rfc1123}}", "X-Key": "{{secret.user|hex}}", "X-Merchant": "{{settings.shop}}"},
	"operations": {"charge": {"method": "POST", "path": "/c?m={{merchant}}", "encoding": "form", "body": {"amt": "{{amount_decimal}}", "cur": "{{currency}}", "tok": "{{token}}", "pan": "{{card_number}}",
		"exp": "{{card_expiry|MM/YY}}", "cvc": "{{card_cvv}}", "name": "{{card_holder}}", "ref": "{{transaction_ref}}", "order": "{{reference}}", "memo": "{{bank_fields.memo}}", "pw": "{{secret.password}}"},
		"answer": {"rules": [{"status": 200, "when": {"/ok": true}, "outcome": "approved"}], "fields": {"bank_reference": "/id", "amount": "/a", "currency": "/c", "amount_format": "decimal"}}},
	"lookup_charge": {"method": "GET", "path": "/c/{{original_ref}}", "answer": {"rules": [{"status": 200, "when": {"/ok": true}, "outcome": "approved"}], "fields": {"reference": "/r", "amount": "/a", "currency": "/c", "amount_format": "decimal"}}}}}');
INSERT INTO pgw.banks (name, connector, base_url, secret, settings, currencies, priority) VALUES ('tooled', 'tooled', 'https://bank.example/api/', 'no-such-file', '{"shop": "S-1"}', '{JPY,EUR}', 950);
SELECT part, regexp_replace(value, '"Date": "[^"]*"', '"Date": "…"') AS value FROM rendered('charge');
SELECT * FROM rendered('charge', jsonb_build_object('amount', 1999, 'currency', 'EUR', 'card_number', spelt('visa'), 'card_cvv', '737', 'card_holder', 'CARLA HOLDERSECRET', 'card_expiry_month', 9, 'card_expiry_year', 2031,
	'reference', 'order-7', 'bank_fields', '{"memo": "two words"}'::jsonb, 'transaction_ref', 'ours')) WHERE part <> 'headers';
SELECT * FROM rendered('lookup_charge', '{"original_ref": "a/b"}') WHERE part = 'request';
-- a bank with tokens and cards; what is not given is a sample, or left out
SELECT * FROM rendered('refund', '{"amount": 5, "reason": null}', 'bank') WHERE part IN ('body', 'samples');
-- whoever has not read the page
SELECT * FROM pgw.render_request('json', 'charge');
SELECT * FROM pgw.render_request('bank', 'Charge', '{"amount": 49.90, "tokn": "x", "final": "yes", "bank_fields": "x", "reference": "4242424242424242"}');
SELECT * FROM pgw.render_request('tooled', 'charge', '{"currency": "euro"}');
SELECT * FROM pgw.render_request('tooled', 'refund');
SELECT * FROM pgw.render_request('tooled', 'lookup_charge', '{"original_ref": ""}');
SELECT * FROM pgw.render_request(NULL, NULL, NULL);
SELECT * FROM pgw.render_request('bank', 'charge', '[1]');
\echo :SQLSTATE
-- a document has an end, and what is wrong with it is told up to a point: all of it was memory without end
SELECT * FROM pgw.render_request('bank', 'charge', jsonb_build_object('a', repeat('x', 32768)));
SELECT pgw.judge_answer('json', 'charge', 200, body => repeat(' ', 1048577), headers => repeat('x', 1048577));
DO $$
DECLARE
	faults text;
BEGIN
	PERFORM pgw.render_request('bank', 'charge', (SELECT jsonb_object_agg('k' || i, 1) FROM generate_series(1, 1000) i));
EXCEPTION WHEN SQLSTATE 'PW400' THEN
	GET STACKED DIAGNOSTICS faults = PG_EXCEPTION_DETAIL;
	RAISE NOTICE '% of 1000 are told', json_array_length(faults::json);
END $$;
DELETE FROM pgw.banks WHERE name = 'tooled';
DELETE FROM pgw.connectors WHERE name = 'tooled';
