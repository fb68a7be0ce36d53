# The first intent under a version of a bank is rolled back, and the worker's transaction around it is not: the version's number is given again, with its row.
use strict;
use warnings;
use lib 'test/lib';
use PgwLedgers;
use PgwTest;
use Test::More;

my $ledgers = PgwLedgers->new('rolled_back');
$ledgers->add_bank('second', base_url => $ledgers->{new}{url});
$ledgers->sql(q{
	CREATE SEQUENCE public.intents;
	CREATE FUNCTION public.first_fails() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.event_type = 'BankProcessingStarted' AND nextval('public.intents') = 1 THEN RAISE EXCEPTION 'not this time'; END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER zz_first_fails AFTER INSERT ON pgw.transaction_events FOR EACH ROW EXECUTE FUNCTION public.first_fails();
});
is($ledgers->sql('SELECT count(*) FROM pgw.bank_versions'), 0, 'nothing was sent yet');
$ledgers->sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'one'));
ok($ledgers->completes('one'), 'the intent is written at the second try');
is($ledgers->sql("SELECT last_value FROM public.intents"), 2, 'after the first one had failed');
is($ledgers->sql('SELECT count(*) FROM pgw.bank_versions v JOIN pgw.payment_transactions t ON v.version = t.bank_version AND v.bank = t.bank'), 1, 'the version that it names is there');
$ledgers->sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'two', bank => 'second'));
ok($ledgers->completes('two'), 'another bank');
isnt($ledgers->version_of('two'), $ledgers->version_of('one'), 'has a number of its own');
is($ledgers->sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'consistent');
$ledgers->{node}->stop('fast');
done_testing();
