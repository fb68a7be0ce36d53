# Webhooks while everything breaks: the receiver is killed, slow, refuses, redirects and hangs up, the sender, the worker and the server are killed. No event is lost, the
# order of each payment is kept, and what comes twice has the same id and text.  EVENTS=n for a long run (make webhook-chaos).
use strict;
use warnings;
use lib 'test/lib';
use Digest::MD5 qw(md5);
use POSIX qw(ceil);
use PgwTest;
use PgwWebhookReceiver;
use PostgreSQL::Test::Utils;
use Test::More;

my $events = $ENV{EVENTS} || 2000;
my $rounds = 9;
my $each = ceil($events / 2 / $rounds);   # a submitted payment of the bank "test" has two events that are wanted

my $node = pgw_node('webhooks_lost', debug => 1, conf => "fsync = off\nrestart_after_crash = on\nwal_writer_delay = 10s\npgw.retry_base_delay = '100ms'\npgw.role_max_submitted = 10000000\npgw.merchant_max_submitted = 10000000\n");
$node->safe_psql('postgres', 'CREATE EXTENSION pgw');
wait_worker($node);
secret_file($node, 'hook', $WEBHOOK_KEY);
my $hook = receiver_start();
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(endpoint_sql('shop', $hook, event_types => '{TransactionStarted,TransactionCompleted}', timeout => '1s'));
sub pid_of { return sql("SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = '$_[0]'") }
sub submit { my ($round) = @_; sql("SELECT count(pgw.submit_payment(client_request_id => 'p$round-' || i, amount => 1000, currency => 'EUR', token => 'tok_ok', bank => 'test')) FROM generate_series(1, $each) i") }

# What is done while messages are under way.
my @faults = (
	[ 'the receiver is killed' => sub { receiver_stop($hook); sleep 1; receiver_again($hook) } ],
	[ 'the sender is terminated' => sub { kill 'TERM', pid_of('pgw webhooks') } ],
	[ 'it refuses' => sub { receiver_mode($hook, 500); sleep 1; receiver_mode($hook, 'ok') } ],
	[ 'the sender is killed, and the server with it' => sub { crash($node, pid_of('pgw webhooks')) } ],
	[ 'it redirects' => sub { receiver_mode($hook, 'redirect'); sleep 1; receiver_mode($hook, 'ok') } ],
	[ 'it hangs up' => sub { receiver_mode($hook, 'close'); sleep 1; receiver_mode($hook, 'ok') } ],
	[ 'the worker is killed' => sub { crash($node, pid_of('pgw worker')) } ],
	[ 'it does not answer' => sub { receiver_mode($hook, 'slow'); sleep 2; receiver_mode($hook, 'ok') } ],
	[ 'the server stops at once' => sub { $node->stop('immediate'); $node->start } ]);

# Each request is looked at once, when it has come, and only this is kept of it: 100,000 of them are no matter of memory.
my (%text, %last, %taken, @wrong);
sub look
{
	my @new = newly_received($hook);
	for my $m (@new)
	{
		my ($id, $text) = ($m->{headers}{'webhook-id'}, md5($m->{body}));
		push @wrong, "$id is signed by nobody" unless is_signed_by($m, $WEBHOOK_KEY);
		push @wrong, "$id is another text" if exists $text{$id} && $text{$id} ne $text;
		$text{$id} = $text;
		my $d = ($m->{document} // {})->{data};
		if (!$d) { push @wrong, "$id is no document"; next }
		my $last = $last{ $d->{payment_id} } // 0;
		# a message that was taken and comes again is no step back
		push @wrong, "$d->{payment_id}: step $d->{step} after $last" if !$taken{$id} && $last > $d->{step};
		$last{ $d->{payment_id} } = $d->{step} if $last < $d->{step};
		$taken{$id} = 1 if $m->{mode} eq 'ok';
	}
	return scalar @new;
}

# Whether nothing of that is left.  The clock goes on only where nothing else does: what is under way at the bank would count as late.  A look costs the same however much
# there is: what has come since the last one, and what is left by an index.
my $clock = 0;
sub is_over
{
	my ($left, $step, $seconds) = @_;
	my ($before, $since) = ('', time);
	return wait_until(sub {
		my $came = look();
		my $now = $left->();
		($before, $since) = ($now, time) if $came || $now ne $before;
		if (time - $since >= 2) { move_clock($node, $clock += $step); $since = time }
		$now eq '0' }, $seconds);
}
sub payments_open { return sql('SELECT count(*) FROM pgw.open_work') || sql(q{SELECT count(*) FROM pgw.payments WHERE status <> 'captured'}) }
sub messages_open { return sql(q{SET enable_seqscan = off; SELECT count(*) FROM (SELECT FROM pgw.webhook_queue WHERE endpoint = 'shop' AND status IN ('waiting', 'behind') LIMIT 1) q}) }
for my $round (1 .. $rounds)
{
	submit($round);
	look();
	my $before = keys %taken;
	is_over(sub { keys %taken > $before ? 0 : 1 }, 60, 60) or die "before '$faults[$round - 1][0]' nothing is taken";
	$faults[ ($round - 1) % @faults ][1]->();
	wait_until(sub { pid_of('pgw webhooks') > 0 }, 60) or die "after '$faults[$round - 1][0]' nobody sends";
}
my $wanted = 2 * $rounds * $each;
my $long = 120 + $events / 100;
ok(is_over(\&payments_open, 60, $long), 'all payments are made');
ok(is_over(sub { $wanted - keys %taken }, 7200, $long), 'all messages are taken');
ok(is_over(\&messages_open, 7200, 60), 'which is written down');

my %wanted = map { $_ => 1 } split /\n/, sql("SELECT event_id FROM pgw.transaction_events WHERE event_type IN ('TransactionStarted', 'TransactionCompleted')");
is(scalar keys %wanted, $wanted, 'as many events as there should be');
is(scalar(grep { !$taken{$_} } keys %wanted), 0, 'none is lost');
push @wrong, map { "$_ is no event" } grep { !$wanted{$_} } keys %text;
is(scalar @wrong, 0, 'in order, with one text for each id, all signed') || diag(join "\n", @wrong[ 0 .. ($#wrong > 9 ? 9 : $#wrong) ]);
$node->stop;
done_testing();
