# Many payments in one call, and one of them ends with an error whose DETAIL is not the usual one: a trigger of others raises pgw's class with none, or with one that pgw would not
# have written; and pgw's own PW400, which has a list of faults.
use strict;
use warnings;
use lib 'test/lib';
use PgwBundles;
use PgwScriptedBank;
use PgwSession;
use PgwTest;
use Test::More;

my $made;
my $other = scripted_bank(sub { my ($r) = @_; return { document => { state => 'ok', id => 'c' . ++$made, ref => $r->{fields}{ref} } } });
my $node = pgw_node('raised_by_triggers', conf => "restart_after_crash = on\npgw.compensation_delay = '20ms'\nautovacuum = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);
sub sql { return $node->safe_psql('postgres', $_[0]) }
my $started = sql('SELECT pg_postmaster_start_time()');

sql('CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.client_request_id LIKE \'%-none\' THEN
			RAISE EXCEPTION \'this customer is blocked\' USING ERRCODE = \'PW422\';
		ELSIF NEW.client_request_id LIKE \'%-not\' THEN
			RAISE EXCEPTION USING ERRCODE = NEW.reference, MESSAGE = \'this customer is blocked\', DETAIL = NEW.metadata->>\'detail\';
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON pgw.payments FOR EACH ROW EXECUTE FUNCTION public.refuse()');

my $one = PgwSession->new($node, name => 'one');
my $backend = $one->backend;
my $n = 0;
for my $detail (undef, 'blocked', '', '{', '[]', '[7]', '["code"]', '"code"', 'null', '{}', '{"code": 7}', '{"code": null}', '{"code": "nobody_knows"}', '{"code": {"a": 1}}', '{"code": "' . 'x' x 200 . '"}')
{
	my $what = $detail // 'none';
	for my $atomic (qw(true false))
	{
		my $p = 'r' . ++$n;
		$one->send(bundle_sql("atomic => $atomic", [ "$p-a" ], [ "$p-" . (defined $detail ? 'not' : 'none'), undef, reference => 'PW422', metadata => { detail => $detail } ], [ "$p-z" ]));
		$one->wait;
		is($one->state, 'PW422', "atomic $atomic, DETAIL $what: the call ends");
		like($one->err, qr/this customer is blocked/, 'with what the trigger says');
		is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id LIKE '$p-%'"), 0, 'and nothing is paid');
	}
}

# In the form of pgw's own it is one payment's refusal.
for my $detail ('{"code": "bank_disabled"}', '[{"field": "reference", "code": "invalid_format"}]')
{
	my $p = 's' . ++$n;
	my ($code) = $detail =~ /"code": "(\w+)"/;
	$one->send("SELECT ordinal, status, error_code, details::text LIKE '%\"request\": 2%' FROM pgw.process_payments('"
		  . requests_of([ "$p-a" ], [ "$p-not", undef, reference => 'PW422', metadata => { detail => $detail } ], [ "$p-z" ]) . "', atomic => false)");
	is_deeply(bundle_rows($one), [ '1|captured||f', "2||$code|t", '3|captured||f' ], "DETAIL $detail: a row, and the others are made") or diag($one->err);
}

# PW400, which only the choice of the bank finds: DETAIL is a list of faults.
my $answer = { rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' } ], fields => { reference => '/ref', bank_reference => '/id' } };
add_dialect($node, $other, 'takes', { v => 2, capabilities => { cards => \1, tokens => \1, cards_without_check_digit => ['unionpay'] },
		operations => { charge => form_request('/charge', $answer, number => '{{card_number}}', token => '{{token}}', amount => '{{amount}}') } }, livemode => 'false', priority => 800);
my $NUMBER = '62' . '0' x 13 . '1';    # UnionPay's test number with another last digit
$one->send("SELECT ordinal, status, error_code, http_status, details->0->>'request', details->0->>'field' FROM pgw.process_payments('" . requests_of([ 'u-a' ], [ 'u-b', $NUMBER, bank => 'takes' ], [ 'u-z' ]) . "', atomic => false)");
is_deeply(bundle_rows($one), [ '1|captured||201||', '2||card_number_in_stored_field|400|2|token', '3|captured||201||' ], 'a token that is a card number to the bank: a row, and the others are made') or diag($one->err);
$one->send(bundle_sql('', [ 'v-a' ], [ 'v-b', $NUMBER, bank => 'takes' ]));
$one->wait;
is($one->state, 'PW400', 'all or none: it is raised');
like($one->err, qr/"request": 2, "field": "token"/, 'with the place of the request');

is($one->run('SELECT pg_backend_pid()'), $backend, 'the session lives');
is(sql('SELECT pg_postmaster_start_time()'), $started, 'and nothing was restarted');
ok(wait_until(sub { sql('SELECT count(*) FROM pgw.check_consistency()') == 0 }, 20), 'the records agree');
$node->stop('fast');
done_testing();
