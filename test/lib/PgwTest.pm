# PgwTest - what the TAP tests share: a cluster with pgw preloaded, a bank simulator of the test's own, factories for
# payments, and the reconciliation of tables with the bank's ledger.
package PgwTest;

use strict;
use warnings;
use Exporter 'import';
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(pgw_node pgw_setup bank_start bank_stop bank_ledger bank_control bank_log wait_until pay_sql events
  reconcile is_reconciled wait_worker psql_start $CARD $SUCCESS_FLOW $DECLINE_FLOW);

# Well-known test numbers only; put together here so that no test text, log or file holds one.
our $CARD = join '', '4242' x 4;
our $SUCCESS_FLOW =
  'TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,TransactionCompleted';
our $DECLINE_FLOW = 'TransactionStarted,BankProcessingStarted,BankProcessingFailed,TransactionFailed';

my @banks;

# A new cluster with pgw preloaded, not yet started when start => 0.
sub pgw_node
{
	my ($name, %o) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%{ $o{init} // {} });
	my $conf = $ENV{PGW_CONF};
	$conf =~ s/^listen_addresses.*\n//m;
	$node->append_conf('postgresql.conf', "$conf\nlog_parameter_max_length = 0\nlog_statement = none\n" . ($o{conf} // ''));
	my $secrets = $node->basedir . '/secrets';
	mkdir $secrets, 0700;
	open my $f, '>', "$secrets/bank" or die $!;
	print $f "test-secret\n";
	close $f;
	chmod 0600, "$secrets/bank";
	$node->append_conf('postgresql.conf', "pgw.secrets_dir = '$secrets'\n");
	$node->start if $o{start} // 1;
	return $node;
}

# CREATE EXTENSION, register the bank, wait for the worker.
sub pgw_setup
{
	my ($node, $bank, %o) = @_;
	my $db = $o{db} // 'postgres';
	$node->safe_psql($db, 'CREATE EXTENSION pgw');
	$node->safe_psql($db, sprintf("INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('%s', '%s', 'http://127.0.0.1:%d', 'bank')",
			$o{name} // 'bank', $o{connector} // 'json', $bank->{port})) if $bank;
	wait_worker($node, $db);
}

sub wait_worker
{
	my ($node, $db, $seconds) = @_;
	$db //= 'postgres';
	return $node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = '$db'");
}

# A bank simulator on a free port: { pid, port, url }.
sub bank_start
{
	my (@args) = @_;
	my $portfile = PostgreSQL::Test::Utils::tempdir() . '/port';
	my $pid = fork // die $!;
	if (!$pid)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		exec 'test/bank/pgw-bank', '--port', 0, '--port-file', $portfile, '--secret', 'test-secret', @args;
		die "exec: $!";
	}
	wait_until(sub { -s $portfile }, 20) or die 'the bank simulator did not start';
	my $bank = { pid => $pid, port => slurp_file($portfile) + 0 };
	$bank->{url} = "http://127.0.0.1:$bank->{port}";
	push @banks, $bank;
	return $bank;
}

sub bank_stop
{
	my ($bank) = @_;
	return unless $bank->{pid};
	kill 'TERM', $bank->{pid};
	waitpid $bank->{pid}, 0;
	$bank->{pid} = 0;
}

END
{
	my $status = $?;
	bank_stop($_) for @banks;
	$? = $status;
}

sub http_json
{
	my ($method, $url, $body) = @_;
	my $r = HTTP::Tiny->new(timeout => 60)->request($method, $url, { $body ? (content => encode_json($body), headers => { 'Content-Type' => 'application/json' }) : () });
	die "$method $url: $r->{status} $r->{content}" unless $r->{success};
	return length $r->{content} ? decode_json($r->{content}) : {};
}

sub bank_ledger { return http_json('GET', "$_[0]{url}/ledger") }
sub bank_log { return http_json('GET', "$_[0]{url}/ledger/log?limit=" . ($_[1] // 100)) }
sub bank_control { my ($bank, $what, $body) = @_; return http_json('POST', "$bank->{url}/control/$what", $body // {}) }

# psql in the background with one command; finish() waits for it. { h, out, err }
sub psql_start
{
	my ($node, $sql, @args) = @_;
	my $p = { out => '', err => '' };
	$p->{h} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', @args, '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c', $sql ],
		'<', \undef, '>', \$p->{out}, '2>', \$p->{err});
	return $p;
}

# Wait for a condition; false when the time is up.
sub wait_until
{
	my ($cond, $seconds) = @_;
	my $end = time + ($seconds // 30);
	while (1)
	{
		return 1 if $cond->();
		return 0 if time > $end;
		usleep(20_000);
	}
}

# The text of a process_payment or submit_payment call from named arguments.
sub pay_sql
{
	my ($function, %a) = @_;
	%a = (amount => 1234, currency => 'EUR', token => 'tok_ok', %a);
	my $args = join ', ', map { my $v = $a{$_}; "$_ => " . ($_ eq 'amount' ? $v : "'" . $v =~ s/'/''/gr . "'") }
	  grep { defined $a{$_} } sort keys %a;
	return "pgw.$function($args)";
}

# The event types of a request id's attempts, in order.
sub events
{
	my ($node, $id, $db) = @_;
	return $node->safe_psql($db // 'postgres', "SELECT coalesce(string_agg(e.event_type::text, ',' ORDER BY e.transaction_id, e.step_order), '')
		FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE t.client_request_id = '$id'");
}

# Compare tables and ledger row for row, both ways; returns the list of differences.
sub reconcile
{
	my ($node, $bank, $db) = @_;
	my @diff;
	my %table;
	my $rows = $node->safe_psql($db // 'postgres', "SELECT replace(p.transaction_id::text, '-', ''), p.amount, p.currency, p.captured_amount, p.refunded_amount, p.status
		FROM pgw.payments p WHERE p.status IN ('authorized', 'partially_captured', 'captured', 'partially_refunded')");
	for (split /\n/, $rows)
	{
		my ($ref, @r) = split /\|/;
		$table{$ref} = \@r;
	}
	my %seen;
	for my $c (@{ bank_ledger($bank)->{charges} })
	{
		next unless $c->{status} eq 'approved';
		my $kept = !$c->{voided} && ($c->{captured} == 0 || $c->{refunded} < $c->{captured});
		next unless $kept;
		my $t = $table{ $c->{reference} };
		push @diff, "charge $c->{id} has no payments row" and next unless $t;
		push @diff, "charge $c->{id} stands twice" if $seen{ $c->{reference} }++;
		push @diff, "charge $c->{id}: $c->{amount} $c->{currency}, table $t->[0] $t->[1]" if $c->{amount} != $t->[0] || $c->{currency} ne $t->[1];
		push @diff, "charge $c->{id}: captured $c->{captured}, table $t->[2]" if $c->{captured} != $t->[2];
		push @diff, "charge $c->{id}: refunded $c->{refunded}, table $t->[3]" if $c->{refunded} != $t->[3];
	}
	for (sort keys %table) { push @diff, "payment with reference $_ has no charge" unless $seen{$_} }
	return @diff;
}

sub is_reconciled
{
	my ($node, $bank, $name, $db) = @_;
	my @diff = reconcile($node, $bank, $db);
	is(scalar @diff, 0, $name // 'ledger and tables are equal, row for row') or diag(join "\n", @diff[ 0 .. ($#diff > 9 ? 9 : $#diff) ]);
}

1;
