# The server's clock was an hour ahead and is set back: the window in which failures of a bank are counted begins anew.  If it ran on until an hour has passed, a
# few failures in all that time would be told of as so many within five minutes.
use strict;
use warnings;
use lib 'test/lib';
use Cwd;
use Fcntl;
use PgwTest;
use Test::More;

my $node = pgw_node('failures_back', start => 0,
	conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '50ms'\npgw.refund_max_attempts = 2\npgw.alert_failed_threshold = 3\n");
my $clock = $node->basedir . '/clock';
my $bank = bank_start();

sub set_clock
{
	my ($offset) = @_;
	sysopen my $f, $clock, O_RDWR | O_CREAT or die $!;
	syswrite $f, pack 'q', $offset;    # in its place: processes have it mapped
	close $f;
	return;
}
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub failing { return sql("SELECT count(*) FILTER (WHERE r.status = 'failed') FROM generate_series($_[0], $_[1]) i, LATERAL pgw.process_payment('fail' || i, 100, 'EUR', 'tok_nosuch') r") }

set_clock(3600);
{
	local %ENV = (%ENV, LD_PRELOAD => getcwd() . '/test/lib/clock.so', PGW_CLOCK => $clock);
	$node->start;
}
pgw_setup($node, $bank);
is(failing(1, 2), 2, 'two failures');
set_clock(0);
is(failing(3, 4), 2, 'two more by the clock that was set back');
# alerts are written in the order in which they come
sql('BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'later', token => 'tok_refund_fail') . '; ROLLBACK');
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.alert_state WHERE kind = 'review_required'") == 1 }, 30), 'a later alert has come');
is(sql("SELECT string_agg(message, '; ') FROM pgw.alert_state WHERE kind = 'failed_threshold'"), '', 'two are not too many');
is(failing(5, 5), 1, 'the third');
ok(wait_until(sub { sql("SELECT message FROM pgw.alert_state WHERE kind = 'failed_threshold'") =~ /^3 transactions of bank "bank" have failed/ }, 30), 'is an alert')
  or diag(sql('SELECT * FROM pgw.alert_state'));
is_sound($node, $bank, 'sound', reviews => 1);
$node->stop('fast');
done_testing();
