# The first intent under a version of a bank is rolled back, and the worker's transaction around it is not: the version's number is given again, with its row.
use strict;
use warnings;
use lib 'test/lib';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('rolled_back', conf => "fsync = off\npgw.retry_base_delay = '100ms'\n");
my ($first, $second) = (bank_start(), bank_start('--seed', 2));
pgw_setup($node, $first);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub version { return sql("SELECT bank_version FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub finished { my ($id) = @_; return $node->poll_query_until('postgres', "SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = '$id'") }

sql("INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('second', 'json', '$second->{url}', 'bank', 500)");
sql(q{
	CREATE SEQUENCE public.intents;
	CREATE FUNCTION public.first_fails() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.event_type = 'BankProcessingStarted' AND nextval('public.intents') = 1 THEN RAISE EXCEPTION 'not this time'; END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER zz_first_fails AFTER INSERT ON pgw.transaction_events FOR EACH ROW EXECUTE FUNCTION public.first_fails();
});
is(sql('SELECT count(*) FROM pgw.bank_versions'), 0, 'nothing was sent yet');
sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'one'));
ok(finished('one'), 'the intent is written at the second try');
is(sql("SELECT last_value FROM public.intents"), 2, 'after the first one had failed');
is(sql('SELECT count(*) FROM pgw.bank_versions v JOIN pgw.payment_transactions t ON v.version = t.bank_version AND v.bank = t.bank'), 1, 'the version that it names is there');
sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => 'two', bank => 'second'));
ok(finished('two'), 'another bank');
isnt(version('two'), version('one'), 'has a number of its own');
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'consistent');
$node->stop('fast');
done_testing();
