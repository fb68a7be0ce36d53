# A bank's configuration changes while payments are under way: what was asked at one ledger is finished there.  Two simulators are the two ledgers,
# "old" and "new"; the bank is moved from one to the other.
use strict;
use warnings;
use lib 'test/lib';
use IO::Select;
use IO::Socket::INET;
use PgwTest;
use PgwSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('versions', debug => 1, conf => "restart_after_crash = on\nfsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '1s'\n");
my ($old, $new) = (bank_start(), bank_start('--seed', 2));	# so that their ids differ
pgw_setup($node, $old);
append_to_file($node->basedir . '/secrets/wrong', "not-the-key\n");
chmod 0600, $node->basedir . '/secrets/wrong';

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a) }
sub payment { return sql("SELECT status FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub charges { my ($id) = @_; return join ' ', map { scalar charges_of($node, $_, $id) } $old, $new }
sub version { return sql("SELECT bank_version FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub operation { my ($what, $id, $of) = @_; return sql("SELECT o.transaction_status FROM pgw.find_payment('$of') f, pgw.${what}_payment(f.payment_id, '$id') o") }
sub finished { my ($id) = @_; return $node->poll_query_until('postgres', "SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = '$id'") }

# A bank of its own for a part, at the old ledger.
sub bank
{
	my ($name, %c) = @_;
	%c = (connector => 'json', base_url => $old->{url}, secret => 'bank', request_timeout => '1s', priority => 500, %c);
	sql("INSERT INTO pgw.banks (name, " . join(', ', sort keys %c) . ") VALUES ('$name', " . join(', ', map { "'$c{$_}'" } sort keys %c) . ')');
}

# A charge that the old ledger has and nobody has heard of yet; meanwhile the configuration is changed by $sql, in a transaction that began before.
sub changed_meanwhile
{
	my ($id, $sql, %a) = @_;
	my $dba = PgwSession->new($node);
	$dba->query("BEGIN; $sql");
	my $caller = PgwSession->new($node)->send(pay($id, token => 'tok_timeout_after', timeout => '30s', %a));
	wait_until(sub { charges_of($node, $old, $id) }, 20) or die "$id: never charged";
	$dba->query('COMMIT');
	is($caller->wait, 'captured', "$id: found out, and paid");
	is(charges($id), '1 0', "$id: one charge, where it was asked");
}

# An address that ends: what comes there goes to the old ledger.
sub address
{
	my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
	my $pid = fork // die $!;
	return { port => $listener->sockport, pid => $pid } if $pid;
	my %peer;
	my $select = IO::Select->new($listener);
	while (1)
	{
		for my $s ($select->can_read)
		{
			if ($s == $listener)
			{
				my ($from, $to) = (scalar $listener->accept, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $old->{port}));
				@peer{ $from, $to } = ($to, $from);
				$select->add($from, $to);
			}
			elsif (sysread $s, my $data, 65536) { syswrite $peer{$s}, $data }
			else { $select->remove($s, $peer{$s}); close $_ for $peer{$s}, $s }
		}
	}
}

part($node, 'address', sub {
	bank('moved');
	changed_meanwhile('address', "UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'moved'", bank => 'moved');
	is(sql(pay('address 2', bank => 'moved')), 'captured', 'the next payment');
	is(charges('address 2'), '0 1', 'goes to the new address');
	isnt(version('address'), version('address 2'), 'their versions differ');
	is(sql("SELECT string_agg(DISTINCT e.event_data->>'bank_version', ',') FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE t.client_request_id = 'address 2' AND e.event_type = 'BankProcessingStarted'"), version('address 2'), 'which the event names');
	is(operation('refund', 'address r', 'address'), 'Created', 'a refund asked for after the move');
	ok(finished('address r'), 'is done');
	is(scalar refunds_of($old, charges_of($node, $old, 'address')), 1, 'where the charge lies');
	is(version('address r'), version('address'), 'under its version');
});

part($node, 'delete', sub {
	bank('gone');
	changed_meanwhile('delete', "DELETE FROM pgw.banks WHERE name = 'gone'", bank => 'gone');
	is(operation('refund', 'delete r', 'delete'), 'Created', 'a refund at a bank that is no more in pgw.banks');
	ok(finished('delete r'), 'is done');
	is(scalar refunds_of($old, charges_of($node, $old, 'delete')), 1, 'where the charge lies');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'and nothing is missing');
});

part($node, 'rename', sub {
	bank('maiden');
	changed_meanwhile('rename', "UPDATE pgw.banks SET name = 'married', base_url = '$new->{url}' WHERE name = 'maiden'", bank => 'maiden');
	is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'under its old name, and nothing is missing');
});

part($node, 'document', sub {
	sql("INSERT INTO pgw.connectors (name, definition) SELECT 'own', definition || '{\"name\": \"own\"}' FROM pgw.connectors WHERE name = 'json'");
	bank('dialect', connector => 'own');
	changed_meanwhile('document', "UPDATE pgw.connectors SET definition = jsonb_set(jsonb_set(definition, '{operations,lookup_charge,path}', '\"/nowhere?r={{original_ref}}\"'),
		'{operations,charge,path}', '\"/nowhere\"') WHERE name = 'own'", bank => 'dialect');
});

part($node, 'connector', sub {
	my $form = slurp_file('test/connectors/formbank.json');
	sql("INSERT INTO pgw.connectors (name, definition) VALUES ('form', \$json\$$form\$json\$)");
	bank('translated');
	changed_meanwhile('connector', "UPDATE pgw.banks SET connector = 'form' WHERE name = 'translated'", bank => 'translated');
});

part($node, 'secret', sub {
	bank('rekeyed');
	changed_meanwhile('secret', "UPDATE pgw.banks SET secret = 'wrong' WHERE name = 'rekeyed'", bank => 'rekeyed');
});

# The caller rolls back after the move: given back where it was charged, also by a worker that was not there at the time.
part($node, 'give-back', sub {
	bank('left');
	my $s = PgwSession->new($node);
	is($s->query('BEGIN; ' . pay('back', bank => 'left')), 'captured', 'charged at the old ledger');
	sql("UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'left'");
	is(sql(pay('back 2', bank => 'left')), 'captured', 'the new one is in use');
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgw worker'");
	$s->query('ROLLBACK');
	ok(wait_until(sub { status_of($node, 'back') eq 'Refunded' }, 30), 'rolled back: given back');
	is(charges('back'), '1 0', 'one charge');
	is(scalar kept_charges($node, $old, 'back'), 0, 'which the old ledger gave back');
});

# Captured where it was authorized.
part($node, 'capture', sub {
	bank('held');
	is(sql(pay('held', bank => 'held', capture => 'manual')), 'authorized', 'authorized at the old ledger');
	sql("DELETE FROM pgw.banks WHERE name = 'held'");
	bank('held', base_url => $new->{url});
	is(operation('capture', 'held c', 'held'), 'Created', 'a capture');
	ok(finished('held c'), 'is done');
	is((charges_of($node, $old, 'held'))[0]{captured}, 1234, 'at the old ledger');
});

# Moved there and back: the same version again, not a third one.
part($node, 'there and back', sub {
	bank('shuttle');
	is(sql(pay('shuttle 1', bank => 'shuttle')), 'captured', 'here');
	sql("UPDATE pgw.banks SET base_url = '$new->{url}', priority = 501 WHERE name = 'shuttle'");
	is(sql(pay('shuttle 2', bank => 'shuttle')), 'captured', 'there');
	sql("UPDATE pgw.banks SET base_url = '$old->{url}', max_in_flight = 7, request_timeout = '2s' WHERE name = 'shuttle'");
	is(sql(pay('shuttle 3', bank => 'shuttle')), 'captured', 'and back');
	is(version('shuttle 3'), version('shuttle 1'), 'is the version that it was: what only steers the pace of calls is no part of it');
	isnt(version('shuttle 2'), version('shuttle 1'), 'there was another one');
});

# A bank that takes no new attempts goes on with those that it has.
part($node, 'disabled', sub {
	bank('resting');
	changed_meanwhile('disabled', "UPDATE pgw.banks SET enabled = false WHERE name = 'resting'", bank => 'resting');
	my ($rc, undef, $err) = $node->psql('postgres', pay('disabled 2', bank => 'resting'));
	like($err, qr/bank is disabled/, 'and takes no new one');
});

# Submitted, and the bank is deleted before it was sent: it waits for one of that name, and not for ever.
part($node, 'never sent', sub {
	bank('short');
	bank('shorter');
	my $submit = sub { my ($id, $of) = @_; 'SELECT status FROM ' . pay_sql('submit_payment', client_request_id => $id, bank => $of) };
	is(sql("BEGIN; " . $submit->('waits', 'short') . "; DELETE FROM pgw.banks WHERE name = 'short'; COMMIT"), 'pending', 'submitted for a bank that goes');
	ok(wait_until(sub { slurp_file($node->logfile) =~ /an attempt cannot go on now: unknown_bank\n.*bank "short"/ }, 20), 'it waits');
	bank('short');
	ok(wait_until(sub { sql('SELECT pgw.run_recovery()'); payment('waits') eq 'captured' || do { sql("UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'waits' AND NOT taken_by_worker"); 0 } }, 30),
		'until there is one of that name');
	sql("ALTER SYSTEM SET pgw.unknown_deadline = '1s'; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "SELECT current_setting('pgw.unknown_deadline') = '1s'");
	is(sql("BEGIN; " . $submit->('fails', 'shorter') . "; DELETE FROM pgw.banks WHERE name = 'shorter'; COMMIT"), 'pending', 'another');
	ok(wait_until(sub { sql("UPDATE pgw.payment_transactions SET next_step_at = now() WHERE client_request_id = 'fails' AND NOT taken_by_worker"); sql('SELECT pgw.run_recovery()'); payment('fails') eq 'failed' }, 30),
		'or until the deadline');
	is(charges('fails'), '0 0', 'never sent');
	sql("ALTER SYSTEM RESET pgw.unknown_deadline; SELECT pg_reload_conf()");
});

# Another bank takes what the first one did nothing for: the intent names that one's version.
part($node, 'another bank', sub {
	bank('first', priority => 1, base_url => 'http://127.0.0.1:1', token_scope => 'both');
	bank('second', priority => 2, base_url => $new->{url}, token_scope => 'both');
	is(sql(pay('switched')), 'captured', 'paid at the second bank');
	is(charges('switched'), '0 1', 'by one charge');
	is(sql("SELECT v.bank FROM pgw.payment_transactions t JOIN pgw.bank_versions v ON v.version = t.bank_version WHERE t.client_request_id = 'switched'"), 'second', 'under its version');
	sql("DELETE FROM pgw.banks WHERE name IN ('first', 'second')");
});

# ---------------------------------------------------------------- the same books at another address

sub health { my ($what) = @_; return sql("SELECT $what FROM pgw.health() WHERE check_name = 'bank_versions'") }
sub rebind { my ($role, $from, $to, $note) = @_; my ($rc, $out, $err) = $node->psql('postgres', "SET SESSION AUTHORIZATION $role; SELECT coalesce(pgw.rebind_attempts($from, $to, '$note')::text, 'proposed')"); return $rc ? $err : $out }

part($node, 'rebind', sub {
	sql("CREATE ROLE anna; CREATE ROLE otto; CREATE ROLE client; SELECT pgw.grant_access('anna', 'operator'), pgw.grant_access('otto', 'operator'), pgw.grant_access('client', 'client')");
	my $address = address();
	bank('books', base_url => "http://127.0.0.1:$address->{port}", request_timeout => '60s');
	is(sql(pay('books 1', bank => 'books')), 'captured', 'paid at the address that is');
	is(sql(pay('books 2', bank => 'books', token => 'tok_timeout_after', timeout => '1s')), 'pending', 'and one whose answer is not there yet');
	my $from = version('books 1');
	kill 'KILL', $address->{pid};
	waitpid $address->{pid}, 0;
	like(rebind('anna', $from, $from + 1, 'moved'), qr/change its row in pgw\.banks first|There is no version/, 'what takes new attempts is not rebound');
	sql("UPDATE pgw.banks SET base_url = '$old->{url}' WHERE name = 'books'");
	ok($node->poll_query_until('postgres', "SELECT max(version) > $from FROM pgw.bank_versions WHERE bank = 'books'"), 'the new address has its version before anybody pays there');
	my $to = sql("SELECT max(version) FROM pgw.bank_versions WHERE bank = 'books'");
	is(health("details #>> '{versions,0,bank}' || ' ' || (details #>> '{versions,0,open}')"), 'books 1', 'health() counts what is open under the old one');
	is(status_of($node, 'books 2'), 'BankUnknown', 'which cannot be found out there');
	like(rebind('client', $from, $to, 'moved'), qr/permission denied/, 'not for clients');
	like(rebind('anna', $from, $to, ' '), qr/PW400|is not valid|note/, 'not without a reason');
	like(rebind('anna', $from, $from, 'moved'), qr/are the same/, 'not to itself');
	sql(pay('books elsewhere', bank => 'bank'));
	like(rebind('anna', $from, version('books elsewhere'), 'moved'), qr/not of one bank/, "not to another bank's");
	sql("UPDATE pgw.banks SET account = 'theirs' WHERE name = 'books'");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgw.bank_versions WHERE bank = 'books' AND account = 'theirs'"), "another account's version");
	like(rebind('anna', $from, sql("SELECT version FROM pgw.bank_versions WHERE account = 'theirs'"), 'moved'), qr/different accounts/, 'is not the same ledger');
	sql("UPDATE pgw.banks SET account = NULL WHERE name = 'books'");
	like(rebind('anna', 9999, $to, 'moved'), qr/There is no version 9999/, 'not from nowhere');
	sql("ALTER SYSTEM SET pgw.require_four_eyes = on; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "SELECT current_setting('pgw.require_four_eyes') = 'on'");
	is(rebind('anna', $from, $to, 'moved'), 'proposed', 'with four eyes a first operator proposes');
	is(rebind('anna', $from, $to, 'moved'), 'proposed', 'and cannot confirm that');
	is(status_of($node, 'books 2'), 'BankUnknown', 'nothing has changed');
	is(rebind('otto', $from, $to, 'moved, I asked them'), 1, 'a second one confirms');
	sql("ALTER SYSTEM RESET pgw.require_four_eyes; SELECT pg_reload_conf()");
	ok(finished('books 2'), 'found out at the new address');
	is(payment('books 2'), 'captured', 'and paid');
	is(charges('books 2'), '1 0', 'once');
	is(operation('refund', 'books r', 'books 1'), 'Created', 'a refund of an earlier one');
	ok(finished('books r'), 'is done there, too');
	is(health("details->>'versions'"), '[]', 'health() has nothing more to say');
	like(rebind('anna', $from, $to, 'again'), qr/go by version $to already/, 'not twice');
	is(sql("SELECT string_agg(effective || ' ' || session_role, ',' ORDER BY rebind) FROM pgw.bank_rebinds"), 'false anna,false anna,true otto', 'who said what is on record');

	# The old address is in use again, by whomever: what is paid there is not taken for what went away.
	sql("UPDATE pgw.banks SET base_url = 'http://127.0.0.1:$address->{port}' WHERE name = 'books'");
	ok($node->poll_query_until('postgres', "SELECT max(version) > $to FROM pgw.bank_versions WHERE bank = 'books'"), 'the old address again is another version');
});

# An old address that is down keeps nothing from the new one.
part($node, 'breaker', sub {
	sql("ALTER SYSTEM SET pgw.breaker_failures = 4; SELECT pg_reload_conf()");
	$node->poll_query_until('postgres', "SELECT current_setting('pgw.breaker_failures') = '4'");
	my $address = address();
	bank('down', base_url => "http://127.0.0.1:$address->{port}");
	my @callers = map { PgwSession->new($node)->send(pay("down $_", bank => 'down', token => 'tok_charge_pending_done_3600000', timeout => '5s')) } 1 .. 6;
	is(join(',', map { $_->wait } @callers), join(',', ('pending') x 6), 'the bank works on six payments');
	sql("UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'down'");
	is(sql(pay('down before', bank => 'down')), 'captured', 'moved');
	kill 'KILL', $address->{pid};
	waitpid $address->{pid}, 0;
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.bank_states WHERE bank LIKE 'down@%' AND state <> 'closed'") > 0 }, 40), 'the old address is left alone')
	  or diag(sql("SELECT s FROM pgw.bank_states s WHERE bank LIKE 'down%'"));
	is(sql("SELECT count(*) FROM pgw.bank_states WHERE bank = 'down' AND state <> 'closed'"), 0, 'the new one is not');
	is(sql(pay('down new', bank => 'down')), 'captured', 'and takes payments');
	is(operation('refund', 'down r', 'down new'), 'Created', 'and refunds');
	ok(finished('down r'), 'which are done');
	sql("ALTER SYSTEM RESET pgw.breaker_failures; SELECT pg_reload_conf()");
});

# ---------------------------------------------------------------- copies

# A dump or a copy brings the versions along, and goes on with their numbers.
part($node, 'copies', sub {
	bank('copied');
	is(sql(pay("copied $_", bank => 'copied')), 'captured', "paid at the old ledger, for the $_") for 'dump', 'copy';
	sql("UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'copied'");
	is(sql(pay('copied later', bank => 'copied')), 'captured', 'and one at the new');
	my $file = $node->basedir . '/copies.dump';
	system_or_bail('pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $file, 'postgres');
	sql('CREATE DATABASE dump');
	system_or_bail('pg_restore', '-e', '-h', $node->host, '-p', $node->port, '-d', 'dump', $file);
	sql('CREATE DATABASE copy TEMPLATE postgres');
	my $versions = sql('SELECT md5(string_agg(v::text, $$|$$ ORDER BY version)) FROM pgw.bank_versions v');
	for my $db ('dump', 'copy')
	{
		wait_worker($node, $db);
		is($node->safe_psql($db, 'SELECT md5(string_agg(v::text, $$|$$ ORDER BY version)) FROM pgw.bank_versions v'), $versions, "$db: the versions are there");
		$node->safe_psql($db, 'SELECT pgw.resume_after_restore()');
		is($node->safe_psql($db, "SELECT o.transaction_status FROM pgw.find_payment('copied $db') f, pgw.refund_payment(f.payment_id, 'copied r') o"), 'Created', "$db: a refund");
		ok($node->poll_query_until($db, "SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = 'copied r'"), "$db: is done");
		is(scalar refunds_of($old, charges_of($node, $old, "copied $db", $db)), 1, "$db: at the old ledger");
		is($node->safe_psql($db, pay("copied new $db", bank => 'copied')), 'captured', "$db: a new payment");
		is($node->safe_psql($db, "SELECT count(DISTINCT bank_version) FROM pgw.payment_transactions WHERE client_request_id IN ('copied later', 'copied new $db')"), 1,
			"$db: has the version that the configuration had before");
		$node->safe_psql($db, "UPDATE pgw.banks SET settings = '{\"copy\": true}' WHERE name = 'copied'");
		is($node->safe_psql($db, pay("copied newer $db", bank => 'copied')), 'captured', "$db: and under another configuration");
		is($node->safe_psql($db, 'SELECT count(*) = max(version) FROM pgw.bank_versions'), 't', "$db: the numbers go on");
	}
});

# Many old versions: more than are kept in memory, and every one of them is found again.
part($node, 'many', sub {
	bank('often');
	for my $i (1 .. 40)
	{
		sql("UPDATE pgw.banks SET base_url = '$old->{url}/', settings = '{\"n\": $i}' WHERE name = 'often'");
		sql(pay("often $i", bank => 'often', capture => 'manual'));
	}
	sql("UPDATE pgw.banks SET base_url = '$new->{url}' WHERE name = 'often'");
	operation('capture', "often c $_", "often $_") for 1 .. 40;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 40 FROM pgw.payment_transactions WHERE client_request_id LIKE 'often c %' AND status = 'Completed'"),
		'forty versions of one bank: each capture where it was authorized');
	is(sql("SELECT count(DISTINCT bank_version) FROM pgw.payment_transactions WHERE client_request_id LIKE 'often c %'"), 40, 'each by its own version');
});

$node->stop('fast');
done_testing();
