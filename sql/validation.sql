-- PW400: every fault at once, each named in DETAIL; NULL where a value is required counts.
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT pgw.process_payment(NULL, NULL, NULL);
\echo :SQLSTATE
SELECT pgw.process_payment('', 0, 'eur', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment(repeat('x', 256), -5, 'XXX', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EURO', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', '');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok ok');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', repeat('t', 513));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', capture => 'later');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', capture => NULL);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', bank => '');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', reference => repeat('r', 256));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', metadata => '[1]');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', metadata => NULL);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', bank_fields => '"x"');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', bank_fields => NULL);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', "timeout" => '-1 s');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', "timeout" => '25 hours');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', on_failure => 'explode');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', merchant => NULL);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', options => '{"colour": 1}');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', options => NULL);
\echo :SQLSTATE
SELECT pgw.process_payment(E'v\n', 1, 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', card_cvv => spelt('123'), card_holder => spelt('X'));
\echo :SQLSTATE
-- cards: a well-known test number, out of a function
SELECT pgw.process_payment('v', 1, 'EUR', card_number => spelt('visa'), card_expiry_month => 12, card_expiry_year => 2099, token => 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => overlay(spelt('visa') placing '3' from 16), card_expiry_month => 13, card_expiry_year => 99, card_cvv => spelt('12'));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => spelt('visa'));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => spelt('visa'), card_expiry_month => 1, card_expiry_year => 2020);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => spelt('visa'), card_expiry_month => 12, card_expiry_year => 2099, card_cvv => spelt('1234'));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => spelt('4242 4242'), card_expiry_month => 12, card_expiry_year => 2099);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', token => repeat('4242', 4));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', reference => 'card ' || repeat('4242', 4), metadata => jsonb_build_object('n', repeat('4242', 4)::bigint));
\echo :SQLSTATE
-- a number that is no card's: only where the caller says so, of fields that can hold an id
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', reference => repeat('4242', 4), options => '{"not_a_card": ["metadata.order"]}');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', reference => repeat('4242', 4), options => '{"not_a_card": ["reference", "token"]}');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', token => repeat('4242', 4), options => '{"not_a_card": []}');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => spelt('visa'), card_expiry_month => 12, card_expiry_year => 2099, reference => spelt('visa'), options => '{"not_a_card": ["reference"]}');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', options => '{"not_a_card": "reference"}');
\echo :SQLSTATE
SET pgw.allow_not_a_card = off;
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', reference => repeat('4242', 4), options => '{"not_a_card": ["reference"]}');
\echo :SQLSTATE
RESET pgw.allow_not_a_card;
SELECT pgw.submit_payment('v', 1, 'EUR', token => repeat('4242', 4));
\echo :SQLSTATE
SELECT pgw.submit_payment('v', 1, 'EUR');
\echo :SQLSTATE
SELECT pgw.find_payment(NULL);
\echo :SQLSTATE
SELECT count(*) FROM pgw.payments WHERE client_request_id = 'v';

-- ids that look like others; many faults at once, in the order of the arguments; JSON of the wrong kind, or too deep
SELECT pgw.process_payment(' v', 1, 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('v' || U&'\00A0', 1, 'EUR', 'tok_ok');
\echo :SQLSTATE
SELECT pgw.refund_payment(NULL, 'v ', 0, repeat('r', 256), '[]');
\echo :SQLSTATE
SELECT pgw.capture_payment(NULL, E'\t', 'NaN', NULL, 'null');
\echo :SQLSTATE
SELECT pgw.void_payment(NULL, NULL, '{"a": 1, "b": 2}');
\echo :SQLSTATE
SELECT pgw.wait_for_payment(NULL, '-1 s');
\echo :SQLSTATE
SELECT pgw.process_payment(E' v\n', -1.5, 'eur', 'a b', bank => '', capture => '', reference => E'\x01', metadata => '1', bank_fields => '{"a": []}',
	"timeout" => '1 month', on_failure => '', merchant => '', options => '"x"');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', metadata => (repeat('{"a":', 65) || '1' || repeat('}', 65))::jsonb);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', metadata => jsonb_build_object('a', repeat('x', 16384)));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', "timeout" => '178000000 years');
\echo :SQLSTATE
SELECT count(*) FROM pgw.payments WHERE client_request_id ~ 'v';
-- expired before it was submitted is recorded as such, whatever the day
SELECT status FROM pgw.submit_payment('expired', 1, 'EUR', 'tok_ok', expires_at => '2000-01-01 00:00:00+00');
SELECT w.status, w.error_code FROM pgw.find_payment('expired') f, pgw.wait_for_payment(f.payment_id, '20 s') w;
SELECT status FROM pgw.submit_payment('expired-ever', 1, 'EUR', 'tok_ok', expires_at => '-infinity');
SELECT w.status, w.error_code FROM pgw.find_payment('expired-ever') f, pgw.wait_for_payment(f.payment_id, '20 s') w;
SELECT status FROM pgw.submit_payment('never', 1, 'EUR', 'tok_ok', expires_at => 'infinity');
SELECT w.status, w.error_code FROM pgw.find_payment('never') f, pgw.wait_for_payment(f.payment_id, '20 s') w;
