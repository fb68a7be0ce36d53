-- PW400: every fault at once, each named in DETAIL; NULL where a value is required counts.
\set VERBOSITY verbose
\set SHOW_CONTEXT never
SELECT pgw.process_payment(NULL, NULL, NULL);
SELECT pgw.process_payment('', 0, 'eur', 'tok_ok');
SELECT pgw.process_payment(repeat('x', 256), -5, 'XXX', 'tok_ok');
SELECT pgw.process_payment('v', 1, 'EURO', 'tok_ok');
SELECT pgw.process_payment('v', 1, 'EUR');
SELECT pgw.process_payment('v', 1, 'EUR', '');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok ok');
SELECT pgw.process_payment('v', 1, 'EUR', repeat('t', 513));
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', capture => 'later');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', capture => NULL);
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', bank => '');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', reference => repeat('r', 256));
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', metadata => '[1]');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', metadata => NULL);
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', bank_fields => '"x"');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', bank_fields => NULL);
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', "timeout" => '-1 s');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', "timeout" => '25 hours');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', on_failure => 'explode');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', merchant => NULL);
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', options => '{"colour": 1}');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', options => NULL);
SELECT pgw.process_payment(E'v\n', 1, 'EUR', 'tok_ok');
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', card_cvv => '123', card_holder => 'X');
-- cards: well-known test numbers, put together so that the statement does not hold them
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 4), card_expiry_month => 12, card_expiry_year => 2099, token => 'tok_ok');
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 3) || '4243', card_expiry_month => 13, card_expiry_year => 99, card_cvv => '12');
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 4));
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 4), card_expiry_month => 1, card_expiry_year => 2020);
SELECT pgw.process_payment('v', 1, 'EUR', card_number => repeat('4242', 4), card_expiry_month => 12, card_expiry_year => 2099, card_cvv => '1234');
SELECT pgw.process_payment('v', 1, 'EUR', card_number => '4242 4242', card_expiry_month => 12, card_expiry_year => 2099);
SELECT pgw.process_payment('v', 1, 'EUR', token => repeat('4242', 4));
SELECT pgw.process_payment('v', 1, 'EUR', 'tok_ok', reference => 'card ' || repeat('4242', 4), metadata => jsonb_build_object('n', repeat('4242', 4)::bigint));
SELECT pgw.submit_payment('v', 1, 'EUR', token => repeat('4242', 4));
SELECT pgw.submit_payment('v', 1, 'EUR');
SELECT pgw.find_payment(NULL);
SELECT count(*) FROM pgw.payments WHERE client_request_id = 'v';
