# A capture that the bank takes back leaves an authorization that is held again, whose end somebody watches: also where the time of it had come before, when all was captured
# and nobody had to look any more.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP;
use PgwOperations;
use PgwSession;
use PgwTest;
use Test::More;

my $KEY = 'hook-secret';
my $WEEK = 7 * 86400; # so long a reservation lives, as the connector says
my ($node, $bank) = operations_cluster('capture_taken_back', debug => 1);
sub sql { return $node->safe_psql('postgres', $_[0]) }

my $notifications = encode_json({ signature => { scheme => 'hmac_body', header => 'X-Signature', as => 'hex' }, identity => '/id', type => '/type',
		fields => { reference => '/reference', bank_reference => '/charge', amount => '/amount', currency => '/currency' },
		evidence => [ { when => { '/type' => 'capture_failed' }, about => 'capture', outcome => 'declined' } ] });
sql("INSERT INTO pgw.connectors (name, definition) SELECT 'told', definition::jsonb #- '{operations,lookup_charge}' #- '{operations,lookup_refund}'
		#- '{capabilities,lookup_consistent_after_seconds}' || jsonb_build_object('notifications', '$notifications'::jsonb) FROM pgw.connectors WHERE name = 'quick';
	INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, livemode, priority, request_timeout)
		VALUES ('told', 'told', '$bank->{url}', 'bank', 'hooks', false, 900, '5s');
	SELECT pgw.grant_access('postgres', 'operator')");
secret_file($node, 'hooks', $KEY);

sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }
sub payment { return sql("SELECT concat_ws(' ', status, captured_amount, reserved_amount) FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub watched { return sql("SELECT coalesce((next_step_at - clock_timestamp() > interval '6 days')::text, 'by nobody') FROM pgw.payment_transactions WHERE client_request_id = '$_[0]'") }

sub becomes
{
	my ($id, $wanted, $name) = @_;
	return ok(wait_until(sub { payment($id) eq $wanted }, 60), "$id: $name") || diag(payment($id));
}

# The worker's clock is moved, and everything that is due then has been done.
sub move_worker_clock
{
	move_clock($node, $_[0]);
	return like(sql('SELECT * FROM pgw.run_recovery()'), qr/t$/, "the clock: $_[0] s");
}

sub capture
{
	my ($id, $amount) = @_;
	pay($node, $id, bank => 'told', capture => 'manual');
	request_operation($node, capture => $id, "$id-c", $amount);
	return becomes($id, "captured $amount 0", 'captured');
}

# The bank says that it has failed.
sub take_back
{
	my ($id, $amount) = @_;
	my ($charge, $reference) = split /\|/, sql("SELECT p.bank_reference, coalesce(t.bank_key, replace(t.transaction_id::text, '-', '')) FROM pgw.payments p JOIN pgw.payment_transactions t USING (payment_id) WHERE t.client_request_id = '$id-c'");
	my $body = encode_json({ id => "n-$id", type => 'capture_failed', charge => $charge, reference => $reference, amount => $amount, currency => 'EUR' });
	return is(sql("SELECT verdict FROM pgw.receive_notification('told', '{\"x-signature\": \"" . hmac_sha256_hex($body, $KEY) . "\"}', decode('" . unpack('H*', $body) . "', 'hex'))"),
		'accepted', "$id: taken back");
}

sub resolve { my ($id) = @_; sql("SELECT pgw.resolve_review(transaction_id, 'mark_not_charged', 'as the bank says') FROM pgw.payment_transactions WHERE client_request_id = '$id-c'"); return }

part($node, 'taken back', sub {
	capture('soon', 600);
	take_back('soon', 600);
	becomes('soon', 'authorized 0 600', 'held again, and in doubt');
	is(watched('soon'), 'true', 'soon: its end is watched as before');
	capture('late', 600);
	capture('whole', 1000);
	capture('kept', 600);

	move_worker_clock($WEEK + 3600);
	ok(wait_until(sub { watched($_) eq 'by nobody' }, 60), "$_: captured, so that nobody watches the end any more") for qw(late whole kept);
	is(payment('soon'), 'authorized 0 600', 'soon: what is in doubt does not end');

	# somebody has the charge's row: nothing is done by halves
	my $somebody = PgwSession->new($node);
	$somebody->run("BEGIN; SELECT FROM pgw.payment_transactions WHERE client_request_id = 'late' FOR UPDATE");
	take_back('late', 600);
	sql('SELECT pgw.run_recovery()');
	is(join(' ', attempt('late-c'), payment('late')), 'Completed captured 600 0', 'late: waits for who has the row');
	$somebody->run('COMMIT');
	take_back('whole', 1000);
	becomes('late', 'authorized 0 600', 'held again, and in doubt');
	becomes('whole', 'authorized 0 1000', 'held again, and in doubt');
	isnt(watched($_), 'by nobody', "$_: its end is watched again") for qw(late whole);

	resolve($_) for qw(soon late);
	move_worker_clock($WEEK + 2 * 3600);
	becomes($_, 'expired 0 0', 'a person has decided, and it has expired') for qw(soon late);
	is(payment('whole'), 'authorized 0 1000', 'whole: nobody has decided');
	like(events($node, $_), qr/,AuthorizationExpired$/, "$_: which is on record") for qw(soon late);
	is(payment('kept'), 'captured 600 0', 'kept: what was not taken back stays');
	is(watched('kept'), 'by nobody', 'kept: and nobody looks');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');
});

$node->stop('fast');
done_testing();
