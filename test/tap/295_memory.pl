# What stays in memory: after a call nobody but the caller's own backend has anything of the card, whatever ended the call, and that one has no more than the
# server's own message buffers, which a few long statements overwrite.  What is wiped is not missing to anybody who may still look at it.
use strict;
use warnings;
use lib 'test/lib';
use PgwMemory;
use PgwTest;
use PgwWire;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('memory', debug => 1, conf => "shared_buffers = '2MB'\npgw.max_waiting = 20\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '1s'\n");
my $tls = $node->basedir . '/tls';
mkdir $tls;
system("cd '$tls' && openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=bank -addext subjectAltName=IP:127.0.0.1 >/dev/null 2>&1") == 0 or die 'no certificate';
my $bank = bank_start('--tls', $tls);
pgw_setup($node, $bank);
wait_until(sub { -s "$tls/port" }, 20) or die 'no bank with TLS';
my $form = slurp_file('test/connectors/formbank.json');
$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('form', \$json\$$form\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority, settings) VALUES
	('formbank', 'form', '$bank->{url}', 'bank', 500, '{}'), ('tls', 'json', 'https://127.0.0.1:" . (0 + slurp_file("$tls/port")) . qq[', 'bank', 500, '{"ca_file": "$tls/cert"}')]);
my $year = (localtime)[5] + 1902;
my $declined = join '', '4000', '0000', '0000', '0002';
my $calls = 0;
my %arguments = (amount => 4200, currency => 'EUR', card_number => $CARD, card_cvv => '737', card_holder => 'CARLA HOLDERSECRET', card_expiry_month => 12,
	card_expiry_year => $year, timeout => '20s');

# The CVV is three digits, which occur by chance: it is looked for as a value of SQL, beside the number, and as the requests write it.
my $memory = PgwMemory->new(
	number => qr/\Q$CARD\E|\Q$declined\E/,
	holder => qr/CARLA.{1,3}HOLDERSECRET/,
	cvv => qr{\x1c\x00\x00\x00737|\x00\x00\x00\x03737|(?:\Q$CARD\E|\Q$declined\E).{1,8}737|cvv"?[:=] ?"?737}s,
	key => qr/Bearer test-secret/);
my $shared_view = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
plan skip_all => 'memory of other processes is not readable here' unless PgwMemory::readable($shared_view);

sub worker_pid
{
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
}

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A call with everything bound: text and values.
sub payment_call
{
	my (%a) = (%arguments, client_request_id => 'call ' . ++$calls, @_);
	my @names = grep { defined $a{$_} } sort keys %a;
	my $n = 0;
	my %cast = (amount => 'numeric', card_expiry_month => 'int', card_expiry_year => 'int', timeout => 'interval');
	return ('SELECT status FROM pgw.process_payment(' . join(', ', map { $n++; "$_ => \$${n}::" . ($cast{$_} // 'text') } @names) . ')', [ @a{@names} ]);
}

# So that each of the server's message buffers is used again (docs/security.md).
sub overwrite
{
	my ($c) = @_;
	$c->simple('SELECT 1 /*' . ('x' x ($_ - 30)) . '*/') for 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14;
}

# Nothing of it anywhere but in the caller's backend, which has the message, in the buffer that it came in and in the one that it was read from.
sub is_clean
{
	my ($client, $name) = @_;
	my @others;
	ok(wait_until(sub { @others = ($memory->private(worker_pid()), $memory->shared($shared_view)); !@others }, 30), "$name: nothing in the worker, nothing in shared memory")
	  or diag(join "\n", @others);
	return unless $client;
	$client->simple('SELECT 1');
	my @own = $memory->private($client->backend);
	my $most = (sort { $b <=> $a } map { my $what = $_; scalar grep { /^$what / } @own } qw(number holder cvv))[0];
	cmp_ok($most, '<=', 2, "$name: the caller's backend has the message and the buffer that it came in") or diag(join "\n", @own);
	overwrite($client);
	is_deeply([ $memory->private($client->backend) ], [], "$name: and nothing after a few long statements");
}

# Each ending with a client of its own.
sub call_ends
{
	my ($name, $code) = @_;
	my $client = PgwWire->new($node);
	$code->($client);
	is_clean($client, $name);
}

sub payment_ends
{
	my ($client, $result, %a) = @_;
	$client->send(payment_call(%a));
	is($client->wait || $client->state, $result, "the call ends as $result") or diag($client->err);
}

sub delay_charges
{
	my ($ms) = @_;
	bank_control($bank, 'faults', { probabilities => { $ms ? ("slow_$ms" => 1) : () } });
}

# An exchange keeps what it may have to send again until its end.
sub request_timeout { sql("UPDATE pgw.banks SET request_timeout = '$_[0]'"); scan($node) }
sub in_flight { return sql("SELECT count(*) FROM pgw.payment_transactions WHERE status = 'Created'") }

part($node, 'endings', sub {
	# the search works: a backend that is being served has it
	my $first = PgwWire->new($node);
	request_timeout('30s');
	delay_charges(8000);
	$first->send(payment_call());
	ok(wait_until(\&in_flight, 20), 'its intent is written');
	my @own = $memory->private($first->backend);
	for my $what (qw(number holder cvv)) { cmp_ok(scalar(grep { /^$what / } @own), '>', 0, "while it waits the caller's backend has the $what") }
	ok(wait_until(sub { !$memory->shared($shared_view) }, 5), 'shared memory has nothing any more');
	ok(in_flight(), 'from before the bank has answered');
	$first->wait;
	delay_charges(0);
	is_clean($first, 'answered late');
	request_timeout('4s');

	call_ends('captured', sub { payment_ends($_[0], 'captured') });
	call_ends('captured, a plan for any value', sub { $_[0]->simple('SET plan_cache_mode = force_generic_plan'); payment_ends($_[0], 'captured') });
	call_ends('captured, parameters in binary', sub { $_[0]->bind('SELECT 1'); $_[0]->send('SELECT status FROM pgw.process_payment(client_request_id => $1, amount => 1, currency => \'EUR\',
		card_number => $2, card_cvv => $3, card_holder => $4, card_expiry_month => 12, card_expiry_year => ' . $year . ')', [ 'binary', $CARD, '737', 'CARLA HOLDERSECRET' ], binary => 1); is($_[0]->wait, 'captured', 'paid') });
	call_ends('captured by form', sub { payment_ends($_[0], 'captured', bank => 'formbank') });
	call_ends('captured over TLS', sub { payment_ends($_[0], 'captured', bank => 'tls') });
	call_ends('declined', sub { payment_ends($_[0], 'declined', card_number => $declined) });
	call_ends('declined, raised', sub { payment_ends($_[0], 'PW402', card_number => $declined, on_failure => 'raise') });
	call_ends('not valid', sub { payment_ends($_[0], 'PW400', card_expiry_year => 2020) });
	call_ends('another amount', sub { my ($c) = @_; payment_ends($c, 'captured', client_request_id => 'twice'); payment_ends($c, 'PW422', client_request_id => 'twice', amount => 1) });
	call_ends('repeated', sub { my ($c) = @_; payment_ends($c, 'captured', client_request_id => 'again') for 1, 2 });
	call_ends('failed at the bank', sub { payment_ends($_[0], 'failed', amount => 9990024) });
	call_ends('not understood', sub { payment_ends($_[0], 'captured', amount => 9990019) });
	call_ends('read only', sub { my ($c) = @_; $c->simple('BEGIN READ ONLY'); payment_ends($c, '25006'); $c->simple('ROLLBACK') });
	call_ends('rolled back', sub { my ($c) = @_; $c->simple('BEGIN'); payment_ends($c, 'captured'); $c->simple('ROLLBACK') });
	call_ends('rolled back to a savepoint', sub { my ($c) = @_; $c->simple('BEGIN; SAVEPOINT s'); payment_ends($c, 'captured'); $c->simple('ROLLBACK TO s'); $c->simple('COMMIT') });
	call_ends('its time is up', sub { payment_ends($_[0], 'pending', amount => 9990013, timeout => '500ms') });
	call_ends('statement_timeout', sub { my ($c) = @_; $c->simple("SET statement_timeout = '700ms'"); payment_ends($c, '57014', amount => 9990013); $c->simple('SET statement_timeout = 0') });
	delay_charges(1500);
	call_ends('cancelled', sub { my ($c) = @_; $c->send(payment_call()); wait_until(\&in_flight, 20); $c->cancel; $c->wait; is($c->state, '57014', 'cancelled at the bank') });
	my $terminated = PgwWire->new($node);
	$terminated->send(payment_call());
	wait_until(\&in_flight, 20);
	sql('SELECT pg_terminate_backend(' . $terminated->backend . ')');
	$terminated->wait;
	is_clean(undef, 'terminated');
	delay_charges(0);
});

# A caller that waits for an earlier attempt has handed over a card that nobody will send.
part($node, 'adopted', sub {
	my ($gone, $next) = (PgwWire->new($node), PgwWire->new($node));
	request_timeout('30s');
	delay_charges(8000);
	$gone->send(payment_call(client_request_id => 'adopted'));
	ok(wait_until(\&in_flight, 20), 'its intent is written');
	$gone->cancel;
	$gone->wait;
	$next->send(payment_call(client_request_id => 'adopted'));
	ok(wait_until(sub { events($node, 'adopted') =~ /TransactionAdopted/ }, 20), 'taken over');
	my @found;
	wait_until(sub { @found = $memory->shared($shared_view); !@found }, 5);
	ok(in_flight(), 'the bank has not answered yet');
	is_deeply(\@found, [], 'and shared memory has nothing of the card already');
	is($next->wait, 'captured', 'the next caller has the answer');
	delay_charges(0);
	is_clean($_, 'adopted') for $gone, $next;
});

# The worker comes to nothing: requests stay in their slots, and only there.
part($node, 'slots', sub {
	my ($withdrawn, $patient) = (PgwWire->new($node), PgwWire->new($node));
	my $worker = worker_pid();
	kill 'STOP', $worker or die $!;
	$patient->send(payment_call(timeout => '10min')); # however long the looks and the core file take
	ok(wait_until(sub { (grep { /^number/ } $memory->shared($shared_view)) == 1 }, 20), 'a request that waits lies in shared memory: the search finds it there');
	$withdrawn->send(payment_call(timeout => '300ms'));
	$withdrawn->wait;
	is($withdrawn->state, 'PW500', 'another one has been withdrawn');
	is(scalar(grep { /^number/ } $memory->shared($shared_view)), 1, 'and its slot is wiped');
	$memory->is_not_in_core($shared_view, $node->basedir, 'does not have it: slots are left out');
	kill 'CONT', $worker;
	is($patient->wait, 'captured', 'the worker goes on');
	is_clean($_, 'a worker that stood still') for $withdrawn, $patient;
});

# Who looks at a parameter again finds it as it was.
part($node, 'second use', sub {
	my $c = PgwWire->new($node);
	my $call = 'pgw.process_payment(client_request_id => %s, amount => 1, currency => \'EUR\', card_number => $1, card_cvv => $2, card_expiry_month => 12, card_expiry_year => ' . $year . ')';
	my $text = sprintf "SELECT p.status, \$1 FROM $call p", "'use 1'";
	is($c->bind($text, $CARD, '737'), "captured|$CARD", 'after the call, in the same row');
	$text = sprintf "SELECT p.status, \$1, \$2 FROM generate_series(1, 3) g, LATERAL $call p", "'use 2 ' || g";
	is($c->bind($text, $CARD, '737'), join("\n", ("captured|$CARD|737") x 3), 'in the next rows');
	is($c->bind("WITH p AS MATERIALIZED (SELECT \$1::text AS own) SELECT q.status, p.own FROM p, LATERAL " . sprintf($call, "'use 3'") . ' q', $CARD, '737'), "captured|$CARD", 'and in another part of the statement');

	# a prepared statement, with a plan for the values and one for any
	$text = 'SELECT p.status, $1 FROM pgw.process_payment(client_request_id => $3, amount => 1, currency => \'EUR\', card_number => $1, card_cvv => $2, card_expiry_month => 12, card_expiry_year => ' . $year . ') p';
	my @rows = map { $c->send($text, [ ($_ % 2 ? $CARD : $declined), '737', "use 4 $_" ], name => 'pay')->wait } 1 .. 9;
	is_deeply(\@rows, [ map { $_ % 2 ? "captured|$CARD" : "declined|$declined" } 1 .. 9 ], 'a prepared statement pays with what it is given each time');

	# a plan that is kept has its constants (the currency) for as long: a note of each, and not one for each execution
	$c->simple('SET plan_cache_mode = force_generic_plan');
	my $kept = sub { return $c->simple("SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name = 'CachedPlan'") };
	my $pay = sub { return $c->send($text, [ $CARD, '737', "kept $_[0]" ], name => 'kept')->wait };
	is($pay->(1), "captured|$CARD", 'a plan is kept');
	my $before = $kept->();
	cmp_ok($before, '>', 0, 'and its memory seen');
	$pay->($_) for 2 .. 20;
	is($kept->(), $before, 'which does not grow with each payment');
	$c->simple('RESET plan_cache_mode');

	# a cursor: the first rows now, the others by later messages
	$c->simple('BEGIN');
	$c->bind('DECLARE c NO SCROLL CURSOR FOR ' . sprintf("SELECT p.status, \$1 FROM generate_series(1, 3) g, LATERAL $call p", "'use 5 ' || g"), $CARD, '737');
	is(join(' ', map { $c->simple('FETCH 1 FROM c') } 1 .. 3), join(' ', ("captured|$CARD") x 3), 'a cursor goes on with them');
	$c->simple('COMMIT');

	# a variable of PL/pgSQL is the function's own
	$c->simple("CREATE FUNCTION payment_ends(card text, times int) RETURNS SETOF text LANGUAGE plpgsql AS \$f\$
	DECLARE own text := card;
	BEGIN
		FOR i IN 1 .. times LOOP
			RETURN NEXT (SELECT p.status || ' ' || (own = card) FROM pgw.process_payment(client_request_id => 'use 6 ' || i, amount => 1, currency => 'EUR',
				card_number => own, card_expiry_month => 12, card_expiry_year => $year) p);
		END LOOP;
		RETURN NEXT own;
	END \$f\$");
	is($c->bind('SELECT payment_ends($1, 9)', $CARD), join("\n", ('captured true') x 9, $CARD), 'nor is it taken away from a function');
	is($c->bind('SELECT (SELECT status FROM pgw.process_payment(client_request_id => $2, amount => 1, currency => \'EUR\', card_number => c.card, card_expiry_month => 12, card_expiry_year => '
		. "$year)), c.card FROM (VALUES (\$1::text)) c (card)", $CARD, 'use 7'), "captured|$CARD", 'nor from a row');
	$c->simple('PREPARE list (text[]) AS SELECT p.status, $1[1] FROM pgw.process_payment(client_request_id => \'use 8\', amount => 1, currency => \'EUR\', card_number => $1[1], card_expiry_month => 12, card_expiry_year => '
		. "$year) p");
	$c->bind("SELECT set_config('app.card', \$1, false)", $CARD);
	is($c->simple("EXECUTE list (ARRAY[current_setting('app.card')])"), "captured|$CARD", 'nor from an array') or diag($c->err);
});

# Whoever has been there all the time.
part($node, 'everybody', sub {
	wait_rest($node, $bank);
	my @pids = map { [ split /\|/ ] } split /\n/, sql("SELECT pid, backend_type FROM pg_stat_activity WHERE backend_type <> 'client backend'");
	push @pids, [ (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0], 'postmaster' ];
	cmp_ok(scalar @pids, '>=', 6, 'processes of the server');
	for (sort { $a->[1] cmp $b->[1] } @pids)
	{
		my ($pid, $type) = @$_;
		next if $type =~ /autovacuum worker|walsender|parallel/;
		is_deeply([ $memory->private($pid) ], [], "nothing in the $type");
	}
});

$node->stop('fast');
done_testing();
