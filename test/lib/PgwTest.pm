# PgwTest - what the TAP tests share: a cluster with pgw preloaded, a bank simulator of the test's own, factories for
# payments, and the reconciliation of tables with the bank's ledger.
package PgwTest;

use strict;
use warnings;
use Exporter 'import';
use HTTP::Tiny;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(pgw_node secret_file pgw_setup change_settings move_clock bank_start bank_stop bank_ledger bank_control bank_log wait_until never busy in_time pay_sql events
  reconcile is_reconciled wait_rest is_sound wait_worker psql_start child_process
  debug_arm debug_wait debug_release debug_flag debug_clear crash flush_wal part scan status_of comes_to charges_of kept_charges refunds_of
  spelt $CARD $SPELT $SUCCESS_FLOW $DECLINE_FLOW $ROLLBACK_FLOW $ADOPTED_FLOW);

# Well-known test numbers only; put together here so that no test text, log or file holds one.
our $CARD = join '', '4242' x 4;
our $SUCCESS_FLOW =
  'TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveCompleted,TransactionCompleted';
our $DECLINE_FLOW = 'TransactionStarted,BankProcessingStarted,BankProcessingFailed,TransactionFailed';
our $ROLLBACK_FLOW = 'TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,PaymentDataSaveFailed,'
  . 'CompensationStarted,RefundStarted,RefundCompleted';
our $ADOPTED_FLOW = 'TransactionStarted,BankProcessingStarted,BankProcessingCompleted,PaymentDataSaveStarted,TransactionAdopted,'
  . 'PaymentDataSaveStarted,PaymentDataSaveCompleted,TransactionCompleted';

my @banks;
my $probes = 0;

# A new cluster with pgw preloaded, not yet started when start => 0.  With debug => 1 it runs the build with debug points.
sub pgw_node
{
	my ($name, %o) = @_;
	my $class = $o{debug} ? 'PgwTest::DebugNode' : 'PostgreSQL::Test::Cluster';
	my $node = $class->new($name);
	$node->init(extra => [ '-E', 'UTF8', '--no-locale' ], %{ $o{init} // {} });
	my $conf = $ENV{PGW_CONF};
	$conf =~ s/^listen_addresses.*\n//m;
	$conf =~ s/\Q$ENV{PGW_INST}\E/$ENV{PGW_DEBUG_INST}/g if $o{debug};
	$node->append_conf('postgresql.conf', "$conf\nlog_parameter_max_length = 0\nlog_statement = none\npgw.breaker_failures = 10000\n" . ($o{conf} // ''));
	my $secrets = $node->basedir . '/secrets';
	mkdir $secrets, 0700;
	secret_file($node, 'bank', 'test-secret');
	$node->append_conf('postgresql.conf', "pgw.secrets_dir = '$secrets'\n");
	$node->start if $o{start} // 1;
	return $node;
}

# A file of the node's secrets, with these lines, as only the server may read it; one that is there is replaced as a whole.
sub secret_file
{
	my ($node, $name, @lines) = @_;
	my $file = $node->basedir . "/secrets/$name";
	open my $f, '>', "$file.new" or die "$file.new: $!";
	print $f map { "$_\n" } @lines;
	close $f;
	chmod 0600, "$file.new";
	rename "$file.new", $file or die "$file: $!";
	return;
}

# CREATE EXTENSION, register the bank, wait for the worker.
sub pgw_setup
{
	my ($node, $bank, %o) = @_;
	my $db = $o{db} // 'postgres';
	$node->safe_psql($db, 'CREATE EXTENSION pgw');
	spelt($node, $db);
	$node->safe_psql($db, sprintf("INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('%s', '%s', 'http://127.0.0.1:%d', 'bank')",
			$o{name} // 'bank', $o{connector} // 'json', $bank->{port})) if $bank;
	wait_worker($node, $db);
}

# spelt('visa') is a card number, spelt('4x2…') what is left without the x: not literals, so that statements may hold them.
our $SPELT = q{CREATE OR REPLACE FUNCTION spelt(v text) RETURNS text LANGUAGE plpgsql VOLATILE AS
	$$BEGIN RETURN CASE v WHEN 'visa' THEN repeat('4242', 4) ELSE replace(v, 'x', '') END; END$$};

sub spelt
{
	my ($node, $db) = @_;
	$node->safe_psql($db // 'postgres', $SPELT);
}

sub wait_worker
{
	my ($node, $db, $seconds) = @_;
	$db //= 'postgres';
	return $node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pgw worker' AND datname = '$db'");
}

# Settings at run time; they are what a session that begins afterwards reads.  undef: what the configuration file says.
sub change_settings
{
	my ($node, %value) = @_;
	my $before = $node->safe_psql('postgres', 'SELECT pg_conf_load_time()');
	$node->safe_psql('postgres', 'ALTER SYSTEM ' . (defined $value{$_} ? "SET $_ = '$value{$_}'" : "RESET $_")) for sort keys %value;
	$node->reload;
	$node->poll_query_until('postgres', "SELECT pg_conf_load_time() <> '$before'") or die 'the settings were not read';
}

# Move pgw's clock by so many seconds, on a node made with debug => 1.
sub move_clock { my ($node, $seconds) = @_; change_settings($node, 'pgw.debug_clock_offset' => $seconds) }

# A process of the test's own that runs this; it ends without what the test's END would do.  It is ended by TERM as any program is: a handler that dies, as PostgreSQL 18's
# Cluster.pm sets one, would let a child that was made in an eval go on as if it were the test itself.
sub child_process
{
	my ($code) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	$SIG{$_} = 'DEFAULT' for qw(INT TERM);
	POSIX::_exit(0) if eval { $code->(); 1 };
	warn $@;
	POSIX::_exit(1);
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
sub bank_log { return http_json('GET', "$_[0]{url}/ledger/log?limit=" . ($_[1] // 100))->{log} }
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

# Debug points (src/base/debug_points.c), on a node made with debug => 1.
sub debug_arm
{
	my ($node, $point, $action) = @_;
	my $file = $node->debug_dir . "/$point";
	unlink "$file.pid", "$file.hit";
	append_to_file("$file.new", "$action\n");
	rename "$file.new", $file or die $!;
}

# Until a process has got there; its pid.
sub debug_wait
{
	my ($node, $point, $seconds) = @_;
	my $file = $node->debug_dir . "/$point.pid";
	wait_until(sub { -s $file }, $seconds // 20) or die "nobody came to the debug point $point\n";
	return slurp_file($file) + 0;
}

# The armed file goes first: a process that claims it meanwhile makes $file.hit, which would be left for ever if it were looked for before.
sub debug_release
{
	my ($node, $point) = @_;
	my $file = $node->debug_dir . "/$point";
	unlink $file;
	unlink "$file.hit", "$file.pid";
}

# A fault that stays until it is put out.
sub debug_flag
{
	my ($node, $flag, $on) = @_;
	my $file = $node->debug_dir . "/$flag.flag";
	return $on ? append_to_file($file, 'on') : unlink $file;
}

sub debug_clear
{
	my ($node) = @_;
	unlink grep { !/\.hit$/ } glob $node->debug_dir . '/*';
	unlink glob $node->debug_dir . '/*';
}

# kill -9 one process of the cluster, and wait until all of it has restarted.
sub crash
{
	my ($node, $pid) = @_;
	my $seen = -s $node->logfile;
	die 'no process to kill' unless $pid > 1;
	kill 'KILL', $pid or die "kill $pid: $!";
	wait_until(sub { slurp_file($node->logfile, $seen) =~ /database system is ready to accept connections/ }, 60) or die 'the cluster did not restart';
	debug_clear($node) if $node->can('debug_dir');
}

# Have the worker look at everything that is due, and wait until it has: it scans after COMMIT PREPARED, in the turn in which it takes
# the probe's request or before.
sub scan
{
	my ($node, $db) = @_;
	my $id = 'probe' . ++$probes;
	return $node->safe_psql($db // 'postgres', "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION '$id'; COMMIT PREPARED '$id'; SELECT status FROM "
		  . pay_sql('process_payment', client_request_id => $id)) =~ /captured$/;
}

# What is committed so far survives a crash, also what was committed asynchronously.
sub flush_wal
{
	my ($node) = @_;
	$node->safe_psql('postgres', "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'test', 'flush')");
}

sub wait_for
{
	my ($cond, $seconds) = @_;
	my $end = time + $seconds;
	while (1)
	{
		return 1 if $cond->();
		return 0 if time > $end;
		usleep(20_000);
	}
}

# Wait for a condition that has to come; false when the time is up.  The seconds are a quiet machine's: one that ten others load gets a multiple
# (PGW_PATIENCE), which costs nothing where all is well.  Where a safeguard is missing (test/mutants.sh) the first failure is what the run is for, and no
# further one is waited for.
sub wait_until
{
	my ($cond, $seconds) = @_;
	my $noticed = $ENV{PGW_MUTANT} && !Test::More->builder->is_passing;
	return wait_for($cond, $noticed ? 0 : ($ENV{PGW_PATIENCE} // 4) * ($seconds // 30));
}

# How much slower is this machine now than one that has nothing else to do?  There an interpreter starts in some five milliseconds, each time.
sub busy
{
	my @took = sort { $a <=> $b } map { my $began = time; system($^X, '-e', '1'); time - $began } 1 .. 7;
	return $took[-1] > 0.01 ? $took[-1] / 0.01 : 1;
}

# Did something take less than so long, in seconds or any other unit of time, on a machine that has nothing else to do?
sub in_time
{
	my ($took, $limit, $name) = @_;
	return cmp_ok($took, '<', $limit * busy(), $name);
}

# Does a condition that must not come stay away for so many seconds?
sub never { my ($cond, $seconds) = @_; return !wait_for($cond, $seconds) }

# The text of a process_payment or submit_payment call from named arguments.
sub pay_sql
{
	my ($function, %a) = @_;
	%a = (amount => 1234, currency => 'EUR', token => 'tok_ok', %a);
	my $args = join ', ', map { my $v = $a{$_}; "$_ => " . ($_ eq 'amount' ? $v : /^card_(number|cvv|holder)$/ ? "spelt('" . join('x', split //, $v) . "')" : "'" . $v =~ s/'/''/gr . "'") }
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

# The charges that the bank holds for a request id's attempts, and their refunds.
sub charges_of
{
	my ($node, $bank, $id, $db) = @_;
	my %ref = map { $_ => 1 } split /\n/,
	  $node->safe_psql($db // 'postgres', "SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = '$id'");
	return grep { $_->{status} eq 'approved' && $ref{ $_->{reference} } } @{ bank_ledger($bank)->{charges} };
}

# A charge that the bank keeps: neither given back, nor an authorization that has lapsed.
sub is_kept
{
	my ($c) = @_;
	return !$c->{voided} && ($c->{captured} == 0 ? !$c->{expired} : $c->{refunded} < $c->{captured});
}

sub kept_charges { return grep { is_kept($_) } charges_of(@_) }

sub refunds_of
{
	my ($bank, @charges) = @_;
	my %id = map { $_->{id} => 1 } @charges;
	return grep { $id{ $_->{charge} } } @{ bank_ledger($bank)->{refunds} };
}

# Until no attempt is under way any more, in the tables or at the bank.
sub wait_rest
{
	my ($node, $bank, %o) = @_;
	my $open = "SELECT transaction_id, client_request_id, status FROM pgw.payment_transactions
		WHERE status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown')";
	return 1 if wait_until(sub { my ($rc, $out) = $node->psql($o{db} // 'postgres', $open); $rc == 0 && $out eq '' && !grep { !$_->{finished} } @{ bank_log($bank) } },
		$o{seconds} // 30);
	diag("not at rest:\n" . $node->safe_psql($o{db} // 'postgres', $open));
	return 0;
}

# At rest, tables and ledger agree, the tables with themselves, and no more than `reviews` attempts wait for a person.
sub is_sound
{
	my ($node, $bank, $name, %o) = @_;
	my $db = $o{db} // 'postgres';
	my @wrong;
	push @wrong, 'not at rest' unless wait_rest($node, $bank, %o);
	push @wrong, reconcile($node, $bank, $db);
	push @wrong, inconsistencies($node, $db);
	push @wrong, map { "$_ is not what its events lead to" } split /\n/,
	  $node->safe_psql($db, 'SELECT transaction_id FROM pgw.payment_transactions WHERE pgw.rebuild_status(transaction_id) <> status');
	push @wrong, map { "payment $_ is not what its events lead to" } split /\n/,
	  $node->safe_psql($db, "SELECT p.payment_id FROM pgw.payments p CROSS JOIN LATERAL pgw.rebuild_payment(p.payment_id) r
		WHERE (p.transaction_id, p.status, p.authorized_amount, p.captured_amount, p.capture_pending_amount, p.reserved_amount, p.refunded_amount, p.refund_pending_amount)
			IS DISTINCT FROM (r.transaction_id, r.status, r.authorized_amount, r.captured_amount, r.capture_pending_amount, r.reserved_amount, r.refunded_amount, r.refund_pending_amount)
			AND p.status NOT IN ('pending', 'in_review') AND (p.status, r.status) IS DISTINCT FROM ('failed', 'declined')");
	my $reviews = $node->safe_psql($db, "SELECT count(*) FROM pgw.payment_transactions WHERE status = 'RequiresManualReview'");
	push @wrong, "$reviews in manual review" if $reviews != ($o{reviews} // 0);
	return is(scalar @wrong, 0, $name) || diag(join "\n", @wrong[ 0 .. ($#wrong > 9 ? 9 : $#wrong) ]) && 0;
}

# The states of a request id's attempts, in order.
sub status_of
{
	my ($node, $id, $db) = @_;
	return $node->safe_psql($db // 'postgres', "SELECT string_agg(status::text, ',' ORDER BY transaction_id) FROM pgw.payment_transactions WHERE client_request_id = '$id'");
}

# Do a request id's attempts come to these states?  If not, what became of them is said.  (diag() returns 0: its opposite is no failure.)
sub comes_to
{
	my ($node, $id, $status, $seconds) = @_;
	return 1 if wait_until(sub { status_of($node, $id) eq $status }, $seconds // 60);
	diag("$id: " . status_of($node, $id) . ': ' . events($node, $id));
	return 0;
}

# A part of a test: if it dies, that is one failure, and the next one finds a running cluster with no debug point armed.  PGW_PART runs
# a single one (make mutants).
sub part
{
	my ($node, $name, $code) = @_;
	return if defined $ENV{PGW_PART} && $ENV{PGW_PART} ne $name;
	my $fine = eval { $code->(); 1 };
	fail($name) || diag($@) unless $fine;
	debug_clear($node) if $node->can('debug_dir');
	wait_until(sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 }, 10) or $node->start(fail_ok => 1);
}

# Compare tables and ledger row for row, both ways; returns the list of differences.
sub reconcile
{
	my ($node, $bank, $db) = @_;
	my @diff;
	my %table;
	my %review = map { $_ => 1 } split /\n/, $node->safe_psql($db // 'postgres',
		"SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE status = 'RequiresManualReview'");
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
		next if !is_kept($c) || $review{ $c->{reference} };
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

# What the tables say of themselves.
sub inconsistencies
{
	my ($node, $db) = @_;
	return split /\n/, $node->safe_psql($db // 'postgres', 'SELECT c FROM pgw.check_consistency() c');
}

sub is_reconciled
{
	my ($node, $bank, $name, $db) = @_;
	my @diff = (reconcile($node, $bank, $db), inconsistencies($node, $db));
	is(scalar @diff, 0, $name // 'ledger and tables are equal, row for row') or diag(join "\n", @diff[ 0 .. ($#diff > 9 ? 9 : $#diff) ]);
}

# A cluster whose processes find the debug points' folder in their environment.
package PgwTest::DebugNode;

use parent -norequire, 'PostgreSQL::Test::Cluster';

sub debug_dir
{
	my ($self) = @_;
	my $dir = $self->basedir . '/debug';
	mkdir $dir;
	return $dir;
}

sub start
{
	my ($self, @args) = @_;
	local $ENV{PGW_DEBUG_DIR} = $self->debug_dir;
	return $self->SUPER::start(@args);
}

sub restart
{
	my ($self, @args) = @_;
	local $ENV{PGW_DEBUG_DIR} = $self->debug_dir;
	return $self->SUPER::restart(@args);
}

1;
