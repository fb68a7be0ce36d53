# A bank whose look-ups are lists: one element is the payment that was asked for, and nothing is said of it while it could be another one, stand twice,
# or on the next page; and of what was refunded there is only a list (test/connectors/listbank.json).
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwScriptedBank;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The token tells what happens. lost: the charge is done, and not answered. At the first look after that: twice: a refused one of the same reference
# stands behind it; more: it is on another page; bare: others are shown without any reference; abridged: it
# is itself. unreturned: a refund is done, and not answered; then, at
# the first look, half: the list of its refunds goes on elsewhere; odd: it stands there in a state that nobody has named.
my (@charges, %looked);

sub shown
{
	my ($charge, $form) = @_;
	my $half = $charge->{tok} =~ /half/ && @{ $charge->{refunds} } && !$looked{"refunds $charge->{id}"}++;
	my @refunds = $half ? () : @{ $charge->{refunds} };
	@refunds = map { { %$_, status => 'booking' } } @refunds if $charge->{tok} =~ /odd/ && @refunds && !$looked{"refunds $charge->{id}"}++;
	return { %$charge{qw(id amount amount_received status)}, metadata => { ref => $charge->{ref} },
		refunds => { data => \@refunds, has_more => $half ? JSON::PP::true : JSON::PP::false } };
}

sub charge
{
	my ($form) = @_;
	push @charges, { id => 'ch_' . @charges, ref => $form->{ref}, tok => $form->{tok}, amount => $form->{sum} + 0, amount_received => $form->{sum} + 0, status => 'paid', refunds => [] };
	return $form->{tok} =~ /lost/ ? undef : shown($charges[-1]);
}

sub refund
{
	my ($form) = @_;
	my ($charge) = grep { $_->{id} eq $form->{charge} } @charges;
	push @{ $charge->{refunds} }, { id => 're_' . @{ $charge->{refunds} }, amount => $form->{sum} + 0, status => 'done' };
	return $charge->{tok} =~ /unreturned/ ? undef : { status => 'done', charge => $charge->{id} };
}

# It shows whatever it has, and ignores what it is asked for.
sub look
{
	my ($form) = @_;
	my ($charge) = grep { $_->{ref} eq $form->{ref} } @charges;
	my $first = $charge && !$looked{ $charge->{id} }++ ? $charge->{tok} : '';
	my @data = map { shown($_) } @charges;
	return { data => [ grep { $_->{id} ne $charge->{id} } @data ], has_more => JSON::PP::true } if $first =~ /more/;
	push @data, { %{ shown($charge) }, id => 'ch_x', status => 'refused' } if $first =~ /twice/;
	delete $_->{metadata} for grep { $first =~ /bare/ && $_->{id} ne $charge->{id} || $first =~ /abridged/ && $_->{id} eq $charge->{id} } @data;
	return { data => \@data, has_more => JSON::PP::false };
}

sub serve
{
	my ($request) = @_;
	my ($method, $path, $form) = @$request{qw(method path fields)};
	my $document = $path eq '/books' ? \@charges : $path eq '/charges' ? charge($form) : $path eq '/refunds' ? refund($form) : look($form);
	return $document && { document => $document };
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('lists', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\n"
	  . "pgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);
add_dialect($node, $bank, listbank => decode_json(slurp_file('test/connectors/listbank.json')));

sub decode_json { return JSON::PP::decode_json($_[0]) }
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($token, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $token, token => $token, amount => 700, timeout => '20s', %a) }

# What was received and returned for a token, charge by charge.
sub books
{
	my ($token) = @_;
	return join ', ', map { my $returned = 0; $returned += $_->{amount} for @{ $_->{refunds} }; "$_->{amount_received} $returned" } grep { $_->{tok} eq $token } bank_books($bank);
}

sub bank_id { return sql("SELECT bank_reference FROM pgw.payments WHERE client_request_id = '$_[0]'") }

is(sql(pay('tok_before', amount => 900)), 'captured', 'a payment whose answer comes');
for my $token ('tok_lost', 'tok_lost_twice', 'tok_lost_more', 'tok_lost_bare', 'tok_lost_abridged')
{
	part($node, $token, sub {
		is(sql(pay($token)), 'captured', "$token: found in the list");
		is(books($token), '700 0', "$token: once");
		my ($own) = grep { $_->{tok} eq $token } bank_books($bank);
		is(bank_id($token), $own->{id}, "$token: with its own id");
	});
}

for my $token ('tok_unreturned', 'tok_unreturned_half', 'tok_unreturned_odd')
{
	part($node, $token, sub {
		sql('BEGIN; ' . pay($token) . '; ROLLBACK');
		ok(wait_until(sub { status_of($node, $token) eq 'Refunded' }, 30), "$token: given back") or diag(status_of($node, $token));
		is(books($token), '700 700', "$token: once, as the list says");
	});
}

# What the bank holds is its own word, and no document's.
sub is_refused
{
	my ($field, $value) = @_;
	my ($rc, undef, $err) = $node->psql('postgres', "INSERT INTO pgw.connectors (name, definition) SELECT 'constant', jsonb_set(definition::jsonb, '{operations,lookup_charge,answer,fields,$field}', '$value')
		FROM pgw.connectors WHERE name = 'listbank'");
	return ok($rc != 0 && $err =~ m{/operations/lookup_charge/answer/fields/$field}, "$field: $value is refused") || diag("$rc: $err");
}

part($node, 'constants that are money', sub { is_refused(@$_) for [ captured => '{"value": 700}' ], [ refunded => '["/returned", {"value": 700}]' ], [ amount => '{"value": 700}' ], [ bank_reference => '{"value": "c1"}' ] });
part($node, 'constants of every answer', sub { is_refused(@$_) for [ voided => '{"value": true}' ], [ voided => '["/void", {"value": true}]' ], [ captured => '{"value": 0}' ], [ refunded => '{"value": 0}' ] });

is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'consistent');
$node->stop('fast');
done_testing();
