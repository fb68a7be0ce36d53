# The server's clock was an hour ahead and is set back, and an attempt of the former clock is written before the worker has looked for such: its other times are still those of an hour ahead,
# and it must not be asked for in vain until then.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwServerClock;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('clock_adopted', start => 0, debug => 1, conf => "fsync = off\npgw.compensation_delay = '1h'\npgw.retry_base_delay = '200ms'\npgw.retry_max_delay = '1s'\n");
my $bank = bank_start();

sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }

set_server_clock($node, 3600);
start_with_clock($node);
pgw_setup($node, $bank);

part($node, 'adopted', sub {
	# in doubt, not at the bank, and its caller is gone
	bank_control($bank, 'faults', { probabilities => { '503' => 1 }, operations => [ 'lookup' ] });
	my $session = PgwSession->new($node);
	$session->query('BEGIN');
	$session->query(pay('doubt', token => 'tok_500_before_1', timeout => '300ms'));
	$session->query('ROLLBACK');
	$session->quit;
	is($node->safe_psql('postgres', "SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'doubt'"), 'BankUnknown', 'an attempt in doubt');
	debug_flag($node, 'clock_look_slow', 1);    # the worker's own look does not come to it
	set_server_clock($node, 0);
	bank_control($bank, 'faults', {});
	is($node->safe_psql('postgres', pay('doubt', token => 'tok_500_before_1', timeout => '60s')), 'failed', 'a retry that takes it over gets its answer within a minute, not in an hour: it never came to the bank');
	is($node->safe_psql('postgres', pay('anew', token => 'tok_ok')), 'captured', 'others are paid');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payment_transactions WHERE bank_asked_at > clock_timestamp() + interval '10 min'"), 0, 'nothing is dated by the former clock');
	debug_flag($node, 'clock_look_slow', 0);
});
is_sound($node, $bank, 'sound');
$node->stop('fast');
done_testing();
