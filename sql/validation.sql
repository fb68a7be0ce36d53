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
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', card_cvv => '123', card_holder => 'X');
\echo :SQLSTATE
-- cards: well-known test numbers, put together so that the statement does not hold them
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 4), card_expiry_month => 12, card_expiry_year => 2099, token => 'tok_ok');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 3) || '4243', card_expiry_month => 13, card_expiry_year => 99, card_cvv => '12');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 4));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 4), card_expiry_month => 1, card_expiry_year => 2020);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 4), card_expiry_month => 12, card_expiry_year => 2099, card_cvv => '1234');
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', card_number => '4242 4242', card_expiry_month => 12, card_expiry_year => 2099);
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', token => repeat('4242', 4));
\echo :SQLSTATE
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', reference => 'card ' || repeat('4242', 4), metadata => jsonb_build_object('n', repeat('4242', 4)::bigint));
\echo :SQLSTATE
SELECT pgw.submit_payment('v', 1, 'EUR', token => repeat('4242', 4));
\echo :SQLSTATE
SELECT pgw.submit_payment('v', 1, 'EUR');
\echo :SQLSTATE
SELECT pgw.find_payment(NULL);
\echo :SQLSTATE
SELECT count(*) FROM pgw.payments WHERE client_request_id = 'v';
