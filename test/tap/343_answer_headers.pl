# A bank that answers to a charge with nothing but the address of what it has made, in a header (test/connectors/hrefbank.json): the id is taken from
# there, and from nowhere else; of two addresses none counts.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwScriptedBank;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The token tells what stands in the header: its address; login: that of another page; none; twice: another charge's address, then its own; folded: one
# that goes on in the next line.
my @transfers;

sub shown
{
	my ($t) = @_;
	return { kind => 'transfer', status => $t->{status}, correlationId => $t->{ref}, amount => { value => $t->{amount}, currency => 'EUR' }, refunded => { value => $t->{refunded} },
		_links => { self => { href => "http://bank.example/transfers/$t->{id}" } } };
}

sub make
{
	my ($form) = @_;
	my $id = 't' . (100 + @transfers);
	push @transfers, { id => $id, ref => $form->{ref}, tok => $form->{source}, amount => $form->{amount}, status => 'processed', refunded => '0.00', asked => [] };
	my $own = "Location: http://bank.example/transfers/$id";
	my @headers = $form->{source} =~ /login/ ? 'Location: http://bank.example/login'
	  : $form->{source} =~ /none/ ? ()
	  : $form->{source} =~ /twice/ ? ('Location: http://bank.example/transfers/t100', $own)
	  : $form->{source} =~ /folded/ ? ('Location: http://bank.example/transfers/t1', ' 00')
	  : $own;
	return { status => 201, body => '', headers => \@headers };
}

sub refund
{
	my ($form) = @_;
	my ($t) = grep { $_->{id} eq $form->{transfer} } @transfers;
	$t->{refunded} = sprintf '%.2f', $t->{refunded} + $form->{amount};
	return { status => 201, body => '', headers => ["Location: http://bank.example/refunds/r$t->{id}"] };
}

sub serve
{
	my ($request) = @_;
	my ($method, $path, $form) = @$request{qw(method path fields)};
	return { document => \@transfers } if $path eq '/books';
	return $path eq '/transfers' ? make($form) : refund($form) if $method eq 'POST';
	my ($id) = $path =~ m{^/transfers/(\w+)$};
	my ($t) = grep { defined $id ? $_->{id} eq $id : $_->{ref} eq $request->{headers}{search} } @transfers;
	push @{ $t->{asked} }, defined $id ? "id $id" : 'ref' if $t;
	return { document => { result => 'ok', transfers => [ map { shown($_) } @transfers ] } } if !defined $id;
	return $t ? { document => shown($t) } : { status => 404, document => { code => 'NotFound' } };
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('answer_headers', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\n"
	  . "pgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);
add_dialect($node, $bank, hrefbank => JSON::PP::decode_json(slurp_file('test/connectors/hrefbank.json')));

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($token) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $token, token => $token, amount => 700, timeout => '20s') }
sub own { my ($token) = @_; return (grep { $_->{tok} eq $token } bank_books($bank))[0] }

is(sql(pay('tok_first')), 'captured', 'the address in the header');
is(join(' ', @{ own('tok_first')->{asked} }), 'id t100', 'it is asked for by its id');
for my $token ('tok_login', 'tok_none', 'tok_twice', 'tok_folded')
{
	part($node, $token, sub {
		is(sql(pay($token)), 'captured', "$token: found out");
		is(sql("SELECT bank_reference FROM pgw.payments WHERE client_request_id = '$token'"), own($token)->{id}, "$token: with its own id");
		is(own($token)->{asked}[0], 'ref', "$token: no id was taken from the answer");
	});
}
sql('BEGIN; ' . pay('tok_returned') . '; ROLLBACK');
ok(wait_until(sub { status_of($node, 'tok_returned') eq 'Refunded' }, 60), 'a rollback gives it back') or diag(status_of($node, 'tok_returned'));
is(join(' ', map { $_->{refunded} } grep { $_->{tok} eq 'tok_returned' } bank_books($bank)), '7.00', 'once');
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'consistent');
$node->stop('fast');
done_testing();
