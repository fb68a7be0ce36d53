# An endpoint as docs/notifications.md has it, which calls in a transaction and answers after its COMMIT, is killed: before the COMMIT nothing was taken, after it all was, and the bank knows of
# neither.  It sends again, to the endpoint that is started next: one row, and nothing is done twice, as the bank's ledger shows.  At a bank whose word it is, and at one where it makes pgw ask.
use strict;
use warnings;
use lib 'test/lib';
use IO::Socket::INET;
use JSON::PP;
use PgwNotifying;
use PgwNotifyingBank;
use PgwPostman;
use PgwSession;
use PgwTest;
use Test::More;

# what is planned comes in an hour: whatever becomes known in a test was told
my $node = pgw_node('endpoint_killed', conf => "fsync = off\nautovacuum = off\npgw.retry_base_delay = '1h'\npgw.retry_max_delay = '1d'\npgw.recovery_interval = '1d'\n");
my %bank = map { $_ => bank_start('--seed', $_ eq 'asked' ? 1 : 2) } qw(asked told);

sub sql { return $node->safe_psql('postgres', $_[0]) }
pgw_setup($node);
my %postman = (
	asked => notifying_bank($node, $bank{asked}, 'asked', asking_connector('asked')),
	told => notifying_bank($node, $bank{told}, 'told', told_connector('told'), accepts => [qw(charge capture void refund)], accepted_ms => 20));
sql("CREATE ROLE shop LOGIN; SELECT pgw.grant_access('shop', 'client')");

# ---- the endpoint, in a process of its own

# One request: the bank that its path names, the headers, and the body as it is.
sub request
{
	my ($client) = @_;
	my ($bank) = <$client> =~ m{^POST /hooks/(\w+) } or die 'not a notification';
	my %headers;
	while (<$client> =~ /^([^:\s]+):\s*(.*?)\r\n/) { $headers{ lc $1 } = $2 }
	my $n = read $client, my $body, $headers{'content-length'};
	return ($bank, { headers => \%headers, body => $body });
}

# Answer each after its COMMIT, or die by SIGKILL at the first one: 'before' the COMMIT, or 'after' it.
sub serve
{
	my ($listener, $fate) = @_;
	local $ENV{PGUSER} = 'shop';
	my $session = PgwSession->new($node, name => 'endpoint');
	while (my $client = $listener->accept)
	{
		my ($bank, $notification) = request($client);
		$session->query('BEGIN');
		my ($status) = split /\|/, $session->query(PgwPostman->new(bank => $bank)->sql($notification));
		kill 'KILL', $$ if $fate eq 'before';
		$session->query('COMMIT');
		kill 'KILL', $$ if $fate eq 'after';
		print $client "HTTP/1.1 $status Answer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
		close $client;
	}
	return;
}

sub start_endpoint
{
	my ($fate) = @_;
	my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "$!";
	my $pid = child_process(sub { serve($listener, $fate) });
	return { pid => $pid, url => 'http://127.0.0.1:' . $listener->sockport . '/hooks' };
}

# What ended it: 9, as nothing else may have.
sub ended { my ($endpoint) = @_; waitpid $endpoint->{pid}, 0; delete $endpoint->{pid}; return $? }

# ---- the bank, and what has become of the money

sub payment { return sql("SELECT concat_ws(' ', status, captured_amount, refunded_amount, refund_pending_amount) FROM pgw.find_payment('$_[0]')") }
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub rows { return sql("SELECT count(*) FROM pgw.notifications JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = '$_[0]'") }
sub ends { return sql("SELECT count(*) FROM pgw.transaction_events JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = '$_[0]' AND event_type = 'TransactionCompleted'") }
sub submit { my ($id, $bank) = @_; return sql('SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, bank => $bank, amount => 1000)) }

# Bring the one notification that is there, once; what the bank got for an answer: 599 for none.
sub bring
{
	my ($name, $endpoint) = @_;
	my $postman = $postman{$name};
	$postman->{verdicts} = {};
	wait_until(sub { $postman->post_round("$endpoint->{url}/$name") }, 60);
	return join ' ', %{ $postman->{verdicts} };
}

sub at_bank
{
	my ($name, $id) = @_;
	my @charges = charges_of($node, $bank{$name}, $id);
	return scalar(@charges) . ' charge, refunds: ' . join ' ', map { $_->{amount} } refunds_of($bank{$name}, @charges);
}

# The endpoint is killed at that moment, and another one gets the same notification: of the attempt $id, which ends by it as $done, and was $open before.
sub killed
{
	my ($name, $fate, $id, $open, $done) = @_;
	my $endpoint = start_endpoint($fate);
	is(bring($name, $endpoint), '599 1', "$name, $fate COMMIT: the bank gets no answer about $id");
	is(ended($endpoint), 9, 'because the endpoint was killed');
	ok(wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'endpoint'") eq 0 }, 60), 'its session ends');
	if ($fate eq 'before')
	{
		is(join(' ', rows($id), attempt($id)), "0 $open", 'nothing was taken, and nothing came of it');
	}
	else
	{
		ok(wait_until(sub { attempt($id) eq $done }, 60), 'it was taken, and did its work');
	}
	$endpoint = start_endpoint('');
	is(bring($name, $endpoint), '200 1', 'the bank sends it again, to the endpoint that was started next');
	ok(wait_until(sub { attempt($id) eq $done }, 60), 'what it is about has ended');
	ok(!$postman{$name}->left, 'and the bank has nothing more to say');
	is(rows($id), 1, 'one row');
	is(ends($id), 1, 'and one end');
	kill 'TERM', $endpoint->{pid};
	ended($endpoint);
	return;
}

for my $fate (qw(before after))
{
	part($node, "told, $fate", sub {
		my $id = "told-$fate";
		submit($id, 'told');
		ok(wait_until(sub { attempt($id) eq 'BankUnknown' }, 60), "$id is open");
		killed('told', $fate, $id, 'BankUnknown', 'Completed');
		sql("SELECT FROM pgw.find_payment('$id') f, pgw.refund_payment(f.payment_id, '$id-refund', 400) r");
		killed('told', $fate, "$id-refund", 'Saved', 'Completed');
		is(join(' ', payment($id), at_bank('told', $id)), 'partially_refunded 1000 400 0 1 charge, refunds: 400', 'charged once, refunded once');
	});
	part($node, "asked, $fate", sub {
		my $id = "asked-$fate";
		# the answer is lost, and so is that of the first look; the next one is planned in an hour
		bank_control($bank{asked}, 'faults', { probabilities => { '500_after' => 1 }, operations => [qw(charge lookup)], times => 2 });
		submit($id, 'asked');
		ok(wait_until(sub { sql("SELECT next_step_at > clock_timestamp() + interval '10 min' FROM pgw.payment_transactions WHERE client_request_id = '$id' AND status = 'BankUnknown'") eq 't' }, 120), "$id is in doubt");
		bank_control($bank{asked}, 'faults', { probabilities => {} });
		killed('asked', $fate, $id, 'BankUnknown', 'Completed');
		is(join(' ', payment($id), at_bank('asked', $id)), 'captured 1000 0 0 1 charge, refunds: ', 'charged once');
	});
}
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'the tables agree with themselves');
is(sql('SELECT count(*) FROM pgw.notifications'), 6, 'and each notification has its row');

$node->stop;
done_testing();
