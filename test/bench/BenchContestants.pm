# BenchContestants.pm - who takes part: the program and statements of each, and the rows that a payment must leave behind
#
# pgw's own calls write pgw's tables.  All others write the tables of schema b: the least that the design needs.  Three tables, their keys and the
# design's three indexes (client_request_id; status, of what is not finished; transaction and step, which is the key of an event), and nothing else:
# no foreign keys, no id of an event, enums instead of texts.  They leave the same facts of a payment: what was asked for, what the bank said, and
# the six events of a success.
#
#	limit2, limit100	one and a hundred payments per transaction, two transactions each (intent, result), by pgbench; no bank is called
#	peer, peer100		an app server in C (peer/): the same, and the bank is called between the two
#	node			an app server in Node (node/), where its packages are installed
package BenchContestants;
use strict;
use warnings;
use BenchStage;
use Exporter 'import';
use List::Util 'min';

our @EXPORT = qw(lean_tables contestant command writes_pgw rows_before check_rows);

my @success = qw(TransactionStarted BankProcessingStarted BankProcessingCompleted PaymentDataSaveStarted PaymentDataSaveCompleted TransactionCompleted);

# ---------------------------------------------------------------- the least that the design needs

sub lean_tables
{
	my $events = join ', ', map { "'$_'" } @success;
	sql($_) for split /;\n/, <<"SQL";
CREATE SCHEMA b;
CREATE TYPE b.payment_status AS ENUM ('Pending', 'Authorized', 'Declined');
CREATE TYPE b.transaction_status AS ENUM ('BankProcessing', 'Completed', 'Failed', 'Refunding', 'Refunded', 'RequiresManualReview');
CREATE TYPE b.event_type AS ENUM ($events);
CREATE TABLE b.payments (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	client_request_id text NOT NULL UNIQUE,
	amount bigint NOT NULL,
	currency text NOT NULL,
	card_token text NOT NULL,
	status b.payment_status NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 85);
CREATE TABLE b.payment_transactions (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	payment_id bigint NOT NULL,
	status b.transaction_status NOT NULL,
	bank_id text,
	authorized boolean,
	started_at timestamptz NOT NULL DEFAULT now(),
	completed_at timestamptz
) WITH (fillfactor = 85);
CREATE INDEX ON b.payment_transactions (status) WHERE status NOT IN ('Completed', 'Failed', 'Refunded');
CREATE TABLE b.transaction_events (
	transaction_id bigint NOT NULL,
	step_order int NOT NULL,
	event_type b.event_type NOT NULL,
	occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	event_data jsonb,
	error_details text,
	PRIMARY KEY (transaction_id, step_order)
);
SQL
	return;
}

# The events of these steps, of each row of t.
sub events_of_t
{
	my $values = join ', ', map { "($_, '$success[$_ - 1]'::b.event_type)" } @_;
	return "INSERT INTO b.transaction_events (transaction_id, step_order, event_type) SELECT t.id, v.s, v.e FROM t, (VALUES $values) v (s, e)";
}

# One statement for the intents of payments (a query of their columns), and what it answers.
sub intent
{
	my ($payments, $answer) = @_;
	return "WITH p AS (INSERT INTO b.payments (client_request_id, amount, currency, card_token, status) $payments "
	  . 'ON CONFLICT (client_request_id) DO NOTHING RETURNING id, client_request_id), '
	  . "t AS (INSERT INTO b.payment_transactions (payment_id, status) SELECT id, 'BankProcessing' FROM p RETURNING id, payment_id), "
	  . 'e AS (' . events_of_t(1, 2) . ") $answer";
}

# One statement for the result of a payment.
sub result_of_one
{
	my ($id, $bank_id, $authorized) = @_;
	return "WITH t AS (UPDATE b.payment_transactions SET status = 'Completed', bank_id = $bank_id, authorized = $authorized, completed_at = clock_timestamp() "
	  . "WHERE id = $id AND status = 'BankProcessing' RETURNING id, payment_id), "
	  . "p AS (UPDATE b.payments SET status = CASE WHEN $authorized THEN 'Authorized' ELSE 'Declined' END::b.payment_status, updated_at = now() "
	  . 'FROM t WHERE payments.id = t.payment_id) ' . events_of_t(3 .. 6);
}

# The same for many, from a query of id, bank_id and authorized.
sub result_of_many
{
	my ($results) = @_;
	return "WITH u AS ($results), "
	  . "t AS (UPDATE b.payment_transactions x SET status = 'Completed', bank_id = u.bank_id, authorized = u.authorized, completed_at = clock_timestamp() "
	  . "FROM u WHERE x.id = u.id AND x.status = 'BankProcessing' RETURNING x.id, x.payment_id, x.authorized), "
	  . "p AS (UPDATE b.payments SET status = CASE WHEN t.authorized THEN 'Authorized' ELSE 'Declined' END::b.payment_status, updated_at = now() "
	  . 'FROM t WHERE payments.id = t.payment_id) ' . events_of_t(3 .. 6);
}

my %one = (
	intent => intent(q(VALUES ($1, $2, $3, $4, 'Pending')), 'SELECT $1, id FROM t'),
	result => result_of_one('$1', '$2', '$3'));
my %many = (
	intent => intent(q(SELECT *, 'Pending' FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[])), 'SELECT client_request_id, t.id FROM p JOIN t ON t.payment_id = p.id'),
	result => result_of_many('SELECT * FROM unnest($1::bigint[], $2::text[], $3::boolean[]) u (id, bank_id, authorized)'));

# ---------------------------------------------------------------- programs

# Every client_request_id: its contestant's letter and the run, then the client and its count.
sub id_of { my ($letter) = @_; return "'$letter' || :run::int || '-' || :client_id::int || '-' || :i::int" }
my $next = "\\set i :i + 1\n";
my $bank_id = q('ch_89025cc100000000');

# letter: of the ids; none where no payments are made.  per_call: payments of a call.  script: pgbench's.
my %contestants = (
	limit2 => { letter => 'l', lean => 1,
		script => $next . intent('VALUES (' . id_of('l') . ", 1234, 'EUR', 'tok_ok', 'Pending')", 'SELECT id AS tid FROM t') . " \\gset\n" . result_of_one(':tid', $bank_id, 'true') . ";\n" },
	limit100 => { letter => 'l', lean => 1, per_call => 100,
		script => $next . intent('SELECT ' . id_of('l') . " || '-' || n, 1234, 'EUR', 'tok_ok', 'Pending' FROM generate_series(1, 100) n", 'SELECT array_agg(id) AS tids FROM t') . " \\gset\n"
		  . result_of_many("SELECT id, $bank_id AS bank_id, true AS authorized FROM unnest(:tids::bigint[]) id") . ";\n" },
	peer => { letter => 'e', lean => 1, program => ['peer'], connections => 16, batch => 1, statements => \%one },
	peer100 => { letter => 'e', lean => 1, per_call => 100, program => ['peer'], connections => 4, batch => 100, statements => \%many },
	node => { letter => 'n', lean => 1, program => [ 'node', 'test/bench/node/app.mjs' ], connections => 16, batch => 1, statements => \%one },
	submit => { letter => 's', script => $next . 'SELECT pgw.submit_payment(' . id_of('s') . ", 1234, 'EUR', 'tok_ok');\n" },
	submit100 => { letter => 's', per_call => 100,
		script => $next . 'SELECT count(pgw.submit_payment(' . id_of('s') . " || '-' || n, 1234, 'EUR', 'tok_ok')) FROM generate_series(1, 100) n;\n" },
	process => { letter => 'p', script => $next . 'SELECT pgw.process_payment(' . id_of('p') . ", 1234, 'EUR', 'tok_ok');\n" },
	process100 => { letter => 'p', per_call => 100,
		script => $next . 'SELECT count(*) FROM pgw.process_payments((SELECT jsonb_agg(jsonb_build_object(' . q('client_request_id', ) . id_of('p')
		  . " || '-' || n, 'amount', 1234, 'currency', 'EUR', 'token', 'tok_ok')) FROM generate_series(1, 100) n));\n" },
	beside => { letter => 'b', script => $next . 'SELECT pgw.process_payment(' . id_of('b') . ", 1234, 'EUR', 'tok_ok');\n" },
	notified => { letter => 'q', script => $next . 'SELECT pgw.process_payment(' . id_of('q') . ", 1234, 'EUR', 'tok_ok');\n" },
	forged => { letter => 'f', script => $next . 'SELECT pgw.process_payment(' . id_of('f') . ", 1234, 'EUR', 'tok_ok');\n" },
	told => { letter => 't', script => $next . 'SELECT pgw.process_payment(' . id_of('t') . ", 1234, 'EUR', 'tok_ok');\n" },
	deaf => { letter => 'd', script => $next . 'SELECT pgw.process_payment(' . id_of('d') . ", 1234, 'EUR', 'tok_ok');\n" },
	replay => { script => "\\set i random(1, 1000)\nSELECT status, replayed FROM pgw.process_payment('known' || :i::int, 1234, 'EUR', 'tok_ok');\n" },
	select => { script => "\\set i random(1, 1000)\nSELECT payment_id, status, captured_amount FROM pgw.payments WHERE client_request_id = 'known' || :i::int AND merchant = 'default';\n" },
	# for the smoke run: what does not finish its payments must be noticed
	unfinished => { letter => 'u', lean => 1, script => $next . intent('VALUES (' . id_of('u') . ", 1234, 'EUR', 'tok_ok', 'Pending')", 'SELECT id FROM t') . ";\n" });
for my $c (values %contestants)
{
	$c->{per_call} //= 1;
	# how many payments a line of the log stands for
	$c->{per_line} = $c->{program} ? 1 : $c->{per_call};
}

sub contestant { my ($name) = @_; return $contestants{$name} // die "there is no contestant $name\n" }
sub writes_pgw { my ($c) = @_; return $c->{letter} && !$c->{lean} }

# What runs a contestant for so many seconds, or for so many calls of each client where there are none.  Logs go to $dir/log.*.
sub command
{
	my ($name, $run, $clients, $seconds, $calls) = @_;
	my $c = contestant($name);
	if ($c->{program})
	{
		my ($program, @first) = @{ $c->{program} };
		my $payments = $clients * $c->{per_call};
		return ($program eq 'peer' ? "$ENV{PGW_WORK}/peer/peer" : $program, @first, '--clients', $payments, $seconds > 0 ? ('--seconds', $seconds) : ('--payments', $payments * $calls),
			'--connections', $c->{connections}, '--batch', $c->{batch}, '--prefix', "$c->{letter}$run", '--bank', "$bank_url/v1/charges", '--secret', 'test-secret',
			'--intent', $c->{statements}{intent}, '--result', $c->{statements}{result}, '--log', "$dir/log.1");
	}
	open my $f, '>', "$dir/$name.sql" or die $!;
	print $f $c->{script};
	close $f;
	return ('pgbench', '-n', '-M', 'prepared', '-f', "$dir/$name.sql", '-c', $clients, '-j', min(2, $clients), $seconds > 0 ? ('-T', $seconds) : ('-t', $calls),
		'-D', "run=$run", '-D', 'i=0', '-l', "--log-prefix=$dir/log");
}

# ---------------------------------------------------------------- rows

# How the two schemas name the same.
my %lean = (schema => 'b', payment => 'id', attempt => 'id', paid => 'Authorized', charge => 'bank_id', zero => 0);
my %pgw = (schema => 'pgw', payment => 'payment_id', attempt => 'transaction_id', paid => 'captured', charge => 'bank_reference', zero => '00000000-0000-0000-0000-000000000000');

# The last payment and attempt so far: both schemas' ids ascend, so what comes after them is read by the key.
sub rows_before
{
	my ($c) = @_;
	return unless $c->{letter};
	my $t = $c->{lean} ? \%lean : \%pgw;
	my $last = sub { my ($table, $id) = @_; return sql("SELECT $id FROM $t->{schema}.$table ORDER BY 1 DESC LIMIT 1") || $t->{zero} };
	return { payment => $last->('payments', $t->{payment}), attempt => $last->('payment_transactions', $t->{attempt}) };
}

# There are n payments of this run, each of the right amount, approved, with one attempt that is Completed, and with all events of a success.
sub check_rows
{
	my ($name, $run, $n, $before) = @_;
	my $c = contestant($name);
	my $t = $c->{lean} ? \%lean : \%pgw;
	my $types = join ', ', map { "'$_'" } @success;
	my $of_run = "p.$t->{payment} > '$before->{payment}' AND p.client_request_id LIKE '$c->{letter}$run-%'";
	# statistics know nothing yet of the run's rows: by them, each row of one side would be searched for in all of the other
	my ($all, $sound) = split /\|/, sql(<<"SQL");
SET enable_nestloop = off;
WITH good AS (SELECT t.$t->{attempt} AS transaction_id FROM $t->{schema}.payments p
		JOIN $t->{schema}.payment_transactions t ON t.payment_id = p.$t->{payment} AND t.$t->{attempt} > '$before->{attempt}'
		WHERE $of_run AND p.amount = 1234 AND p.currency = 'EUR' AND p.status = '$t->{paid}' AND t.status = 'Completed' AND t.$t->{charge} <> ''),
	told AS (SELECT transaction_id FROM $t->{schema}.transaction_events WHERE transaction_id > '$before->{attempt}' AND event_type IN ($types)
		GROUP BY 1 HAVING count(DISTINCT event_type) = @{[ scalar @success ]})
SELECT (SELECT count(*) FROM $t->{schema}.payments p WHERE $of_run), (SELECT count(*) FROM good JOIN told USING (transaction_id))
SQL
	die "$name: $sound of $all payments are sound, there should be $n\n" if $all != $n || $sound != $n;
	return;
}

1;
