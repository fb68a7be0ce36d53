# A bank that signs and logs in: what has both proofs is believed where an old success could have been sent again, what has one is for a person, and a wrong one of either is refused.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP;
use MIME::Base64;
use PgwOperations;
use PgwTest;
use Test::More;

my ($KEY, $LOGIN) = ('hook-secret', 'bank:says:so');
my ($node, $bank) = operations_cluster('second_proof');
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub attempt { return sql("SELECT status FROM pgw.payment_transactions WHERE client_request_id = '$_[0]' ORDER BY transaction_id DESC LIMIT 1") }
sub becomes { my ($id, $status, $name) = @_; wait_until(sub { attempt($id) eq $status }, 30); return is(attempt($id), $status, $name) }
sub rows { return sql("SELECT string_agg(concat_ws(' ', says, evidence, proof), ', ' ORDER BY says) FROM pgw.notifications JOIN pgw.payment_transactions USING (transaction_id) WHERE client_request_id = '$_[0]'") }

my $notifications = q({"signature": {"scheme": "hmac_body", "header": "X-Signature", "as": "hex"}, "identity": "/id", "type": "/type", "time": "/at",
	"fields": {"reference": "/reference", "bank_reference": "/charge", "amount": "/amount", "currency": "/currency"},
	"evidence": [{"when": {"/type": "yes"}, "about": "refund", "outcome": "approved"}, {"when": {"/type": "no"}, "about": "refund", "outcome": "declined"}]});
sql(qq(INSERT INTO pgw.connectors (name, definition) SELECT 'told', jsonb_set(definition::jsonb, '{operations,refund,answer,rules,1,outcome}', '"accepted"') #- '{operations,lookup_charge}' #- '{operations,lookup_refund}'
		#- '{capabilities,lookup_consistent_after_seconds}' || jsonb_build_object('notifications', '$notifications'::jsonb) FROM pgw.connectors WHERE name = 'quick';
	INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, notification_login, livemode, priority, request_timeout)
		VALUES ('told', 'told', '$bank->{url}', 'bank', 'hooks', 'login', false, 900, '5s')));
bank_control($bank, 'settings', { accepts => ['refund'] });
secret_file($node, 'hooks', $KEY);
secret_file($node, 'login', "other:one\n$LOGIN");

my $count = 0;

# What the bank says, as a call of the function.  login: undef, there is none.
sub word
{
	my ($type, $id, %o) = @_;
	my $key = sql("SELECT replace(transaction_id::text, '-', '') FROM pgw.payment_transactions WHERE client_request_id = '$id'");
	my $body = encode_json({ id => 'n' . ++$count, type => $type, reference => $key, charge => '', amount => 400, currency => 'EUR', at => $o{at} // '2026-11-28T12:00:00+01:00' });
	my $login = exists $o{login} ? $o{login} : $LOGIN;
	my %headers = ('x-signature' => hmac_sha256_hex($body, $o{key} // $KEY), $login ? (authorization => 'Basic ' . encode_base64($login, '')) : ());
	return "SELECT verdict FROM pgw.receive_notification('told', '" . encode_json(\%headers) . "', decode('" . unpack('H*', $body) . "', 'hex'))";
}

sub refund
{
	my ($id) = @_;
	pay($node, $id, bank => 'told');
	request_operation($node, 'refund', $id, "$id-r", 400);
	ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = '$id-r' AND status = 'Saved' AND accepted_at IS NOT NULL") eq 1 }, 30), "$id: accepted");
	return "$id-r";
}

part($node, 'a success after a failure', sub {
	my %case = (
		both => [ 'Completed', {}, {} ],
		'success without login' => [ 'RequiresManualReview', {}, { login => undef } ],
		'failure without login' => [ 'RequiresManualReview', { login => undef }, {} ],
		'earlier' => [ 'RequiresManualReview', { at => '2026-11-28T12:00:03+01:00' }, {} ],
		'another offset' => [ 'RequiresManualReview', { at => '2026-11-28T12:00:01+02:00' }, {} ]);
	for my $name (sort keys %case)
	{
		my ($wanted, $no, $yes) = @{ $case{$name} };
		my $id = refund('s-' . $name =~ s/\W/-/gr);
		sql('BEGIN; ' . word('no', $id, at => '2026-11-28T12:00:01+01:00', %$no) . '; ' . word('yes', $id, at => '2026-11-28T12:00:02+01:00', %$yes) . '; COMMIT');
		becomes($id, $wanted, "$name: $wanted");
	}
	is(rows('s-both-r'), 'approved used both, declined contradicts both', 'the success is used, and of the failure people are told');
	is(rows('s-success-without-login-r'), 'approved used signature, declined used both', 'the rows say how each was proved');
	is(sql("SELECT refunded_amount FROM pgw.payments WHERE client_request_id = 's-both'"), '400', 'what is believed is refunded');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');
});

part($node, 'one of them alone', sub {
	my $id = refund('f');
	is(sql(word('yes', $id, key => 'guess')), 'wrong_signature', 'logged in, and signed by somebody else');
	is(sql(word('yes', $id, login => 'bank:guess')), 'wrong_signature', 'signed, and another password');
	is(sql(word('yes', $id, login => 'bank')), 'wrong_signature', 'signed, and half a login');
	is(sql(word('yes', $id) =~ s/"x-signature":"\w+"/"x-other":""/r), 'not_signed', 'logged in, and not signed');
	is(rows($id), '', 'nothing of it is taken');
	is(sql(word('yes', $id, login => 'other:one')), 'accepted', 'signed, and with the other login');
	becomes($id, 'Completed', 'is taken');
	is(sql(word('yes', $id, login => undef)), 'accepted', 'signed, without a login');
	like(rows($id), qr/approved \w+ signature/, 'has one proof');
	unlink $node->basedir . '/secrets/login';
	is(sql(word('yes', $id)), 'no_secret', 'while the file cannot be read the bank is to send it again');
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'sound');
});

$node->stop;
done_testing();
