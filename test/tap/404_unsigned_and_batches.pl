# What nobody has signed is a hint: it makes pgw look at what it knows, leaves no row, and decides nothing.  Several notifications in one body are each
# judged by themselves, and have one answer.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_base64 sha256_hex);
use JSON::PP ();
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;

my $KEY = '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056';
my ($node, $bank) = operations_cluster('unsigned', debug => 1);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub becomes { my ($id, $status, $name) = @_; my $q = "SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$id' ORDER BY transaction_id DESC LIMIT 1";
	wait_until(sub { sql($q) eq $status }, 120); return is(sql($q), $status, $name) }
sub reference { my ($id) = @_; return sql("SELECT coalesce(bank_key, replace(transaction_id::text, '-', '')) FROM pgw.payment_transactions WHERE client_request_id = '$id' ORDER BY transaction_id DESC LIMIT 1") }
sub looks { return bank_ledger($bank)->{requests_by_operation}{lookup} // 0 }
sub rows { return sql('SELECT count(*) FROM pgw.notifications') }
sub counted { my ($verdict) = @_; return sql("SELECT coalesce(sum(value), 0) FROM pgw.metrics WHERE name = 'pgw_notifications_total' AND labels ->> 'bank' = 'bank' AND labels ->> 'verdict' = '$verdict'") }

# What becomes of a body, and what is answered.
sub receiving
{
	my ($body) = @_;
	return "SELECT http_status, verdict, notification_id IS NOT NULL FROM pgw.receive_notification('bank', '{}', decode('" . unpack('H*', $body) . "', 'hex'))";
}
sub receive { return sql(receiving(@_)) }

# A bank that only accepts refunds, and is asked again in an hour: what becomes known before that has been asked for.
sql(q{UPDATE pgw.connectors SET definition = jsonb_set(definition::jsonb, '{operations,refund,answer,rules,1,outcome}', '"accepted"') WHERE name = 'quick'});
bank_control($bank, 'settings', { accepts => ['refund'] });

sub notifications { my ($part) = @_; sql("UPDATE pgw.connectors SET definition = jsonb_set(definition::jsonb, '{notifications}', '$part') WHERE name = 'quick'") }

# A refund that the bank has accepted and done, which pgw does not know yet; the bank's id of its charge.
sub accept_refund
{
	my ($id) = @_;
	pay($node, $id);
	request_operation($node, 'refund', $id, "$id-r", 400);
	becomes("$id-r", 'Saved', "$id: accepted");
	bank_control($bank, 'settle', { reference => reference("$id-r"), to => 'succeeded' });
	return (charges_of($node, $bank, $id))[0]{id};
}

change_settings($node, 'pgw.retry_base_delay' => '1h', 'pgw.retry_max_delay' => '1d');

part($node, 'hints', sub {
	notifications('{"signature": {"scheme": "none"}, "format": "form", "fields": {"bank_reference": "/id"}}');
	sql("UPDATE pgw.banks SET notification_secret = NULL WHERE name = 'bank'");
	my $charge = accept_refund('h');
	my $before = looks();
	is(receive("id=$charge" . 'x'), '200|hint|f', 'an id that is not there');
	is(receive('id=' . substr($charge, 0, -1)), '200|hint|f', 'half an id');
	is(receive('id='), '200|hint|f', 'no id');
	is(receive('<html>'), '400|unreadable|f', 'no form');
	sql("SELECT pgw.run_recovery()");
	is(looks(), $before, 'make pgw ask nothing');
	is(receive("id=$charge"), '200|hint|f', 'an id that pgw has');
	becomes('h-r', 'Completed', 'makes pgw ask the bank, an hour before it had planned to');
	is(rows(), 0, 'and no hint has a row');
	is(counted('hint'), 4, 'each is counted');
	my $after = looks();
	is(receive("id=$charge"), '200|hint|f', 'of what has ended');
	sql("SELECT pgw.run_recovery()");
	is(looks(), $after, 'nothing is asked');
	is_sound($node, $bank, 'hints: sound');
});

# As Adyen has them: the signature is each one's, and covers fields of it.
sub item
{
	my ($id, $charge, %o) = @_;
	my @signed = ($id, $charge, '400', 'REFUND');
	my %item = (id => $id, charge => $charge, value => $o{value} // 400, code => 'REFUND', signature => hmac_sha256_base64(join(':', @signed), pack('H*', $o{key} // $KEY)) . '=');
	return \%item;
}
sub batch { return JSON::PP->new->canonical->encode({ live => 'true', items => [@_] }) }

sub expect_batches
{
	notifications('{"items": "/items", "signature": {"scheme": "hmac_fields", "at": "/signature", "fields": ["/id", "/charge", "/value", "/code"], "separator": ":", "as": "base64",
		"key_as": "hex"}, "identity": ["/id", "/code"], "type": "/code", "fields": {"bank_reference": "/charge", "livemode": {"at": "/live", "live": "true", "test": "false"}}}');
	secret_file($node, 'hooks', $KEY);
	sql("UPDATE pgw.banks SET notification_secret = 'hooks' WHERE name = 'bank'");
	return;
}

part($node, 'several in one body', sub {
	expect_batches();
	my ($one, $two) = (accept_refund('b1'), accept_refund('b2'));
	my $before = rows();
	is(receive(batch(item('n1', $one, value => 401), item('n2', $two))), '400|wrong_signature|f', 'one is forged: the bank is to send them again');
	is(rows() - $before, 1, 'the other is taken');
	becomes('b2-r', 'Completed', 'and has the bank asked');
	is(sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = 'b1-r'"), 'Saved', 'the forged one has not');
	is(receive(batch(item('n1', $one), item('n2', $two))), '200|accepted|f', 'both are good: one is new');
	is(rows() - $before, 2, 'and has its row');
	becomes('b1-r', 'Completed', 'and has the bank asked, too');
	is(receive(batch(item('n1', $one), item('n2', $two))), '200|repeated|f', 'again');
	is(receive(batch(item('n3', 'nobody'), item('n3', 'nobody'))), '200|accepted|f', 'twice in one body');
	is(rows() - $before, 3, 'is once');
	is(receive(JSON::PP->new->encode({ live => 'false', items => [item('n4', $one)] })), '400|other_mode|f', 'of a test, at a bank of real money');
	is(receive(batch(map { item("m$_", $one) } 1 .. 65)), '413|too_large|f', 'more than there may be');
	is(rows() - $before, 3, 'leave nothing');
	is_sound($node, $bank, 'several in one body: sound');
});

# Two bodies with the same ones in another order wait for each other's rows, never in a circle.  One in the middle is held, so that the first body is caught half done.
part($node, 'several at once', sub {
	expect_batches();
	my %identity = map { $_ => sha256_hex(qq["$_"\n"REFUND"\n]) } qw(o1 o2 o3);
	my ($low, $middle, $high) = sort { $identity{$a} cmp $identity{$b} } keys %identity;
	my ($holder, $down, $up) = map { PgwSession->new($node, name => $_) } qw(holder down up);
	my $waits = sub { my ($s) = @_; ok(wait_until(sub { sql('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $s->backend . " AND wait_event_type = 'Lock'") eq '1' }, 30), $_[1]) };
	$holder->query('BEGIN');
	is($holder->query(receiving(batch(item($middle, 'nobody')))), '200|accepted|t', 'one is held');
	$down->send(receiving(batch(map { item($_, 'nobody') } $high, $middle, $low)));
	$waits->($down, 'a body with it waits');
	$up->send(receiving(batch(map { item($_, 'nobody') } $low, $high)));
	$waits->($up, 'one with the others in the reverse order waits for that');
	$holder->query('ROLLBACK');
	is($down->wait || $down->err, '200|accepted|f', 'the first is taken');
	is($up->wait || $up->err, '200|repeated|f', 'the second has nothing new');
	is(sql('SELECT identity FROM pgw.notifications WHERE identity IN (' . join(', ', map { "'$_'" } values %identity) . ') ORDER BY notification_id'), join("\n", @identity{ $high, $middle, $low }),
		'each has one row, with ids in the order of the body');
});

$node->stop('fast');
done_testing();
