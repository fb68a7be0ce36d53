# A bank that takes twelve capital letters and digits as our reference, and has nothing else to be asked by: it is told, asked and answered by the same
# short one, and another payment's charge under it is not believed.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwScriptedBank;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The token tells what happens. lost: the charge is done, and not answered; bare: and the first look shows it without its id. twin: it never arrives, and
# the look-up shows the first charge that the bank has, as if that had the same reference.
my (@charges, %looked, @refused);

sub shown { my ($charge, %other) = @_; return { document => { %$charge, state => 'ok', %other } } }

sub charge
{
	my ($form) = @_;
	push @refused, $form->{ref} and return { status => 400, document => { state => 'bad reference' } } unless $form->{ref} =~ /^[0-9A-Z]{12}$/;
	return undef if $form->{tok} =~ /twin/;
	push @charges, { id => 'ch_' . @charges, ref => $form->{ref}, tok => $form->{tok}, amount => $form->{sum} + 0, currency => 'EUR' };
	return $form->{tok} =~ /lost/ ? undef : shown($charges[-1]);
}

sub look
{
	my ($ref) = @_;
	my ($charge) = grep { $_->{ref} eq $ref } @charges;
	return shown($charges[0], ref => $ref) unless $charge;
	return shown($charge, id => undef) if $charge->{tok} =~ /bare/ && !$looked{$ref}++;
	return shown($charge);
}

my $bank = scripted_bank(sub {
	my ($r) = @_;
	return { document => \@charges } if $r->{path} eq '/books';
	return { document => \@refused } if $r->{path} eq '/refused';
	return $r->{method} eq 'POST' ? charge($r->{fields}) : look($r->{path} =~ m{/([^/]*)$});
});
my %answer = (rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 400, outcome => 'rejected' } ],
	fields => { reference => '/ref', bank_reference => '/id', amount => '/amount', currency => '/currency' });
my %document = (v => 2, references => { length => 12, alphabet => '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ' },
	capabilities => { tokens => JSON::PP::true, lookup_consistent_after_seconds => 3600 },
	operations => { charge => form_request('/charges', \%answer, tok => '{{token}}', sum => '{{amount}}'), lookup_charge => { method => 'GET', path => '/charges/{{original_ref}}', answer => \%answer } });
my $node = pgw_node('short_references', conf => "fsync = off\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);
add_dialect($node, $bank, short => \%document);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($token) = @_; return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $token, token => $token, bank => 'short', amount => 700, timeout => '20s')) }
sub bank_id { return sql("SELECT bank_reference FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub own_id { my ($token) = @_; my ($own) = grep { $_->{tok} eq $token } bank_books($bank); return $own->{id} }

is(pay('tok_first'), 'captured', 'a payment whose answer comes');
for my $token ('tok_lost', 'tok_lost_bare')
{
	part($node, $token, sub {
		is(pay($token), 'captured', "$token: found by its short reference");
		is(bank_id($token), own_id($token), "$token: with its id");
	});
}
part($node, 'another payment of the same reference', sub {
	pay('tok_before') unless bank_books($bank);
	$node->psql('postgres', "SELECT status FROM " . pay_sql('process_payment', client_request_id => 'tok_twin', token => 'tok_twin', bank => 'short', amount => 700, timeout => '2s'));
	ok(wait_until(sub { status_of($node, 'tok_twin') eq 'RequiresManualReview' }, 30), 'its charge is not believed: a person decides') or diag(status_of($node, 'tok_twin'));
	is(sql("SELECT error_code FROM pgw.payment_transactions WHERE client_request_id = 'tok_twin'"), 'bank_reference_taken', 'because the charge belongs to a payment');
});
is_deeply(PgwTest::http_json('GET', "$bank->{url}/refused"), [], 'the bank has never been told a longer one');
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'consistent');
$node->stop('fast');
done_testing();
