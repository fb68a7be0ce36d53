# A bank whose answers are forms, and empty where it has nothing to say (test/connectors/nvpbank.json).
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwScriptedBank;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The token tells what happens. lost: the charge is done, and not answered. never: it does not arrive, and the look-up shows nothing at all. page: it is
# done, and answered by a proxy's page whose text has an = in it.
my @charges;

sub form { my (%member) = @_; return { type => 'application/x-www-form-urlencoded', body => join '&', map { my $v = $member{$_}; $v =~ s/([^A-Za-z0-9_])/sprintf '%%%02X', ord $1/ge; "$_=$v" } sort keys %member } }
sub shown { my ($charge) = @_; return form(ACK => 'Success', map { $_ => $charge->{$_} } qw(ID REF AMT CUR STATE)) }

sub charge
{
	my ($form) = @_;
	return form(ACK => 'Failure', CODE => '10') if $form->{TOK} =~ /poor/;
	return undef if $form->{TOK} =~ /never/;
	push @charges, { ID => 'tx/' . @charges, (map { $_ => $form->{$_} } qw(TOK AMT CUR REF)), STATE => 'open' };
	return undef if $form->{TOK} =~ /lost/;
	return { type => 'text/html', body => '<html><a href="?ACK=Success&x=1"></html>' } if $form->{TOK} =~ /page/;
	return shown($charges[-1]);
}

sub serve
{
	my ($r) = @_;
	my $form = $r->{fields};
	return { document => \@charges } if $r->{path} eq '/books';
	return charge($form) if $r->{path} eq '/pay';
	my ($charge) = grep { ($_->{REF} eq ($form->{REF} // '')) || ($_->{ID} =~ s{/}{%2F}r eq ($form->{ID} // '')) } @charges;
	return { status => 204, body => '' } if !$charge;
	return shown($charge) if $r->{path} =~ /find/;
	$charge->{STATE} = 'voided';
	return { status => 204, body => '' };
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('forms', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);
add_dialect($node, $bank, nvpbank => JSON::PP::decode_json(slurp_file('test/connectors/nvpbank.json')));

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($token) = @_; return 'SELECT status, error_code FROM ' . pay_sql('process_payment', client_request_id => $token, token => $token, bank => 'nvpbank', amount => 1234, timeout => '20s') }
sub bank_id { return sql("SELECT bank_reference FROM pgw.payments WHERE client_request_id = '$_[0]'") }
sub books { my ($token) = @_; return join ', ', map { "$_->{ID} $_->{AMT} $_->{STATE}" } grep { $_->{TOK} eq $token } bank_books($bank) }

is(sql(pay('tok_ok')), 'captured|', 'approved by a form');
is(bank_id('tok_ok'), 'tx/0', 'whose values are decoded');
is(sql(pay('tok_poor')), 'declined|insufficient_funds', 'declined by a form, with its code');
for my $token ('tok_lost', 'tok_page')
{
	is(sql(pay($token)), 'captured|', "$token: looked up");
	is(books($token), bank_id($token) . ' 12.34 open', "$token: once");
}
like(sql(pay('tok_never')), qr/^failed\|/, 'tok_never: an empty 204 says that it is not there');
is(books('tok_never'), '', 'tok_never: it is not');
sql('BEGIN; ' . pay('tok_back') . '; ROLLBACK');
ok(comes_to($node, 'tok_back', 'Refunded', 30), 'given back, said by an empty 204');
like(books('tok_back'), qr/ 12\.34 voided$/, 'and it is');
part($node, 'multiples', sub {
	my $document = JSON::PP::decode_json(slurp_file('test/connectors/nvpbank.json'));
	$document->{capabilities}{amount_multiple} = { KWD => 10 };
	add_dialect($node, $bank, 'tens', $document);
	my (undef, undef, $error) = $node->psql('postgres', 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'tok_third', token => 'tok_third', bank => 'tens', amount => 1234, currency => 'KWD'));
	like($error, qr/amount_not_representable/, 'an amount that the bank does not take is refused');
	is(books('tok_third'), '', 'and never sent');
	is(sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'tok_tens', token => 'tok_tens', bank => 'tens', amount => 1230, currency => 'KWD')), 'captured', 'one that it takes is paid');
	like(books('tok_tens'), qr/ 1\.230 open$/, 'in its unit');
});
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'consistent');
$node->stop('fast');
done_testing();
