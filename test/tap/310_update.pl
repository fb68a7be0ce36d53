# ALTER EXTENSION pgw UPDATE, to a made-up 1.1: library and script of different versions pay nothing, whichever is the older one; and the whole
# way of an update while clients pay.
use strict;
use warnings;
use lib 'test/lib';
use PgwClients;
use PgwNextVersion;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $QUICK = "pgw.compensation_delay = '50ms'\npgw.retry_base_delay = '200ms'\npgw.retry_max_delay = '1s'\nwal_level = replica\nmax_wal_senders = 1\n";
my $next = next_version();
my ($node, $live, $bank);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, timeout => '60s', %a) }
sub submit { return 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $_[0]) }
sub payment_status { return sql("SELECT status FROM pgw.payments WHERE client_request_id = '$_[0]'") }

# A part that begins with a node of 1.0, and a bank.
sub update
{
	my ($name, $code) = @_;
	return if defined $ENV{PGW_PART} && $ENV{PGW_PART} ne $name;
	$node->stop('immediate') if $node;
	($node, $live) = updatable_node($name =~ s/\W+/_/gr, conf => $QUICK);
	$bank = bank_start();
	pgw_setup($node, $bank);
	part($node, $name, $code);
}

# What is refused with which hint, and that nothing else is; reading is not.
sub is_refused
{
	my ($hint, $when) = @_;
	my %refused = (
		'process_payment()' => pay('refused'),
		'process_payments()' => q{SELECT pgw.process_payments('[{"client_request_id": "refused", "amount": 1, "currency": "EUR", "token": "tok_ok"}]')},
		'submit_payment()' => submit('refused'), 'run_recovery()' => 'SELECT pgw.run_recovery()',
		'refund_payment()' => "SELECT pgw.refund_payment((SELECT payment_id FROM pgw.find_payment('first')), 'refund')",
		'resume_after_restore()' => "SELECT pgw.resume_after_restore('no')",
		'resolve_review()' => "SELECT pgw.resolve_review(gen_random_uuid(), 'retry', 'no')",
		'rebind_attempts()' => "SELECT pgw.rebind_attempts(1, 2, 'no')");
	for my $what (sort keys %refused)
	{
		my (undef, undef, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$refused{$what}");
		like($err, qr/PW500.*DETAIL:.*"code": "version_mismatch".*HINT: .*$hint/s, "$when: $what is refused, and the hint says what to do");
	}
	is(sql("SELECT status FROM pgw.find_payment('first')"), 'captured', "$when: reading works");
	is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id = 'refused'"), 0, "$when: nothing was written");
	like(sql("SELECT status || advice FROM pgw.health() WHERE check_name = 'version'"), qr/^error.*$hint/, "$when: health says it, too");
	ok(wait_until(sub { sql("SELECT details->>'state' FROM pgw.health() WHERE check_name = 'worker'") eq 'paused' }, 60), "$when: the worker is paused");
	like(sql('SELECT advice FROM pgw.version()'), qr/$hint/, "$when: so does version()");
}

sub serves
{
	my ($version, $when) = @_;
	is(sql('SELECT library_serves, script, advice FROM pgw.version()'), "$version|$version|", "$when: library and script agree");
	is(sql("SELECT status FROM pgw.health() WHERE check_name = 'version'"), 'ok', "$when: and health says so");
}

update('a new library before the update', sub {
	serves('1.0', 'at first');
	is(sql(pay('first')), 'captured', 'a payment of 1.0');
	change_settings($node, 'pgw.worker_mode' => 'paused');
	is(sql(submit('waits')), 'pending', 'a submitted one is left open');
	install_files($next, $live);
	is(sql(submit('waits too')), 'pending', 'files that nobody has loaded change nothing');
	serves('1.0', 'before the restart');
	sql('ALTER SYSTEM RESET pgw.worker_mode');
	$node->restart;
	wait_worker($node);
	is_refused(q{ALTER EXTENSION pgw UPDATE TO '1.1'}, 'before the update');
	is(charges_of($node, $bank, 'waits'), 0, 'what is open is left alone');
	my $log = -s $node->logfile;
	change_settings($node, 'pgw.fencing_delay' => '1s');
	ok(wait_until(sub { change_settings($node, synchronous_standby_names => $_) for 'nobody', undef; return slurp_file($node->logfile, $log) =~ /nothing new is sent to banks/ }, 30), '... and changed settings are read');
	change_settings($node, 'pgw.fencing_delay' => undef);
	sql('BEGIN; ALTER EXTENSION pgw UPDATE; ROLLBACK');
	like(sql('SELECT advice FROM pgw.version()'), qr/UPDATE TO '1.1'/, 'an update that was rolled back was none');
	sql('ALTER EXTENSION pgw UPDATE');
	serves('1.1', 'after the update');
	ok(wait_until(sub { payment_status($_) eq 'captured' }, 60), "$_ is made by the new version") for 'waits', 'waits too';
	is(sql(pay('refused')), 'captured', 'and new ones are');
	is(sql("SELECT count(*) FROM pgw.baseline_faults()"), 0, 'the update has recorded its baseline');
	is_sound($node, $bank, 'sound');
});

# Such an update changes no table, and no message of the server's tells of it.
update('an update that changes the version alone', sub {
	my ($control) = files_like($live, qr{/pgw\.control$});
	append_to_file($control =~ s{pgw\.control$}{pgw--1.0--1.0.1.sql}r, "\\echo Use \"ALTER EXTENSION pgw UPDATE TO '1.0.1'\" to load this file. \\quit\n");
	my $session = PgwSession->new($node);
	is($session->run(pay('first')), 'captured', 'a session pays');
	$session->run("BEGIN; ALTER EXTENSION pgw UPDATE TO '1.0.1'");
	$session->run(pay('within'));
	like($session->err, qr/PW500.*"code": "version_mismatch"/s, 'not in the transaction that updates');
	$session->run('ROLLBACK');
	is($session->run(pay('second')), 'captured', 'again once that is rolled back');
	sql("ALTER EXTENSION pgw UPDATE TO '1.0.1'");
	$session->run(pay('third'));
	like($session->err, qr/PW500.*"code": "version_mismatch"/s, 'and no more once another session has committed it');
});

update('a new script before the library', sub {
	is(sql(pay('first')), 'captured', 'a payment of 1.0');
	install_files($next, $live);
	my $seen = -s $node->logfile;
	sql('ALTER EXTENSION pgw UPDATE');
	ok(wait_until(sub { slurp_file($node->logfile, $seen) =~ /LOG:  pgw: worker paused for database \d+\n.*HINT:  The library that the server runs/ }, 60), 'a line in the log');
	is_refused('install the library for version 1.1 and restart', 'before the restart');
	$node->restart;
	wait_worker($node);
	serves('1.1', 'after the restart');
	is(sql(pay('refused')), 'captured', 'payments are made');
	is_sound($node, $bank, 'sound');
});

# All that a client may meet on the way: the server is away or starting, or says that it cannot take the payment now.
sub clients_are_sound
{
	my ($c) = @_;
	my ($errors, @ids) = clients_end($c);
	my @strange = grep { /^(ERROR|FATAL|psql: error):/ && !/PW500|57P0[123]|57P05|08006|could not connect|connection to server|terminating connection due to administrator command/ } split /\n/, $errors;
	is("@strange", '', 'no error that a client could not have expected');
	like($errors, qr/"code": "version_mismatch"/, 'some were told to wait for the end of the update');
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE status <> 'captured'") eq '0' }, 90), 'each payment is made');
	is_sound($node, $bank, 'sound', seconds => 90);
	my %kept;
	$kept{ $_->{reference} }++ for grep { is_kept_charge($_) } @{ bank_ledger($bank)->{charges} };
	my @refs = split /\n/, sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.payments");
	is(scalar(grep { ($kept{$_} // 0) != 1 } @refs), 0, 'by one charge each');
	is(sql("SELECT count(*) FROM pgw.payments WHERE client_request_id IN ('" . join("', '", @ids) . "')"), scalar @ids, scalar(@ids) . ' payments, as many as the clients have heard of');
}

sub is_kept_charge { my ($c) = @_; return $c->{status} eq 'approved' && !$c->{voided} && $c->{refunded} < $c->{captured} }

sub wait_done
{
	my ($c, $more, $name) = @_;
	my $from = clients_done($c);
	ok(wait_until(sub { clients_done($c) >= $from + $more }, 90), $name);
}

update('while clients pay, as the page says', sub {
	my $c = clients_start($node, 'drained', ('process_payment') x 3, ('submit_payment') x 2);
	wait_done($c, 30, 'clients pay');
	change_settings($node, 'pgw.worker_mode' => 'draining');
	ok(wait_until(sub { sql("SELECT details->>'under_way' FROM pgw.health() WHERE check_name = 'worker_mode'") eq '0' }, 60), 'drained');
	install_files($next, $live);
	$node->restart;
	wait_worker($node);
	ok(wait_until(sub { -e "$c->{dir}/errors" && slurp_file("$c->{dir}/errors") =~ /version_mismatch/ }, 60), 'the new library refuses');
	sql('ALTER EXTENSION pgw UPDATE');
	serves('1.1', 'updated');
	change_settings($node, 'pgw.worker_mode' => 'on');
	wait_done($c, 30, 'clients pay again');
	clients_are_sound($c);
});

update('while clients pay, without a pause', sub {
	bank_control($bank, 'settings', { delay_ms => 200 });
	my $c = clients_start($node, 'hasty', ('process_payment') x 4, ('submit_payment') x 2);
	wait_done($c, 20, 'clients pay');
	install_files($next, $live);
	sql("SET lock_timeout = '60s'; ALTER EXTENSION pgw UPDATE");
	pass('the update has its locks while calls are under way');
	ok(wait_until(sub { -e "$c->{dir}/errors" && slurp_file("$c->{dir}/errors") =~ /version_mismatch/ }, 60), 'the old library refuses');
	$node->restart;
	wait_worker($node);
	serves('1.1', 'restarted');
	wait_done($c, 20, 'clients pay again');
	clients_are_sound($c);
});
done_testing();
