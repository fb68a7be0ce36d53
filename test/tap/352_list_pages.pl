# A bank that shows two of what it has at a time, the oldest first, and says where its list goes on (test/connectors/hrefbank.json): a charge whose answer
# was lost is found on a further page, and is "not found" only when all pages have been read.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP ();
use PgwScriptedBank;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The token tells what happens.  lost: the charge is done, and not answered; gone: it is not done, and not answered.  In the first look after a lost one, at its
# second page: broken: an error page; missing: 404; closed: no answer; loop: the same cursor again; short: an empty answer; at
# its first: denied: an error of status 200 with an empty list.  stranger: the first look by id shows another charge, which has failed; strange: each look shows
# what nobody has foreseen.  elsewhere: the first page's cursor is
# an address.
my (@transfers, %looked, @asked);

sub shown
{
	my ($t) = @_;
	return { kind => $t->{tok} =~ /strange$/ ? 'reversal' : 'transfer', status => 'processed', correlationId => $t->{ref}, amount => { value => $t->{amount}, currency => 'EUR' }, refunded => { value => '0.00' },
		_links => { self => { href => "http://bank.example/transfers/$t->{id}" } } };
}

sub make
{
	my ($form) = @_;
	return undef if $form->{source} =~ /gone/;
	my $id = 't' . (100 + @transfers);
	push @transfers, { id => $id, ref => $form->{ref}, tok => $form->{source}, amount => $form->{amount} };
	return $form->{source} =~ /lost/ ? undef : { status => 201, body => '', headers => ["Location: http://bank.example/transfers/$id"] };
}

sub page
{
	my ($request) = @_;
	my $cursor = $request->{fields}{cursor} // '';
	my ($asked_for) = grep { $_->{ref} eq $request->{headers}{search} } @transfers;
	my $how = $asked_for && $looked{ $asked_for->{id} } < 2 ? $asked_for->{tok} : '';
	push @asked, $request->{path};
	return { document => { result => 'busy', transfers => [] } } if $how =~ /denied/ && $cursor eq '' && !$looked{ $asked_for->{id} }++;
	$looked{ $asked_for->{id} }++ if $asked_for && $cursor eq '';
	if ($cursor ne '')
	{
		return { body => '<html>busy</html>', type => 'text/html' } if $how =~ /broken/;
		return { status => 404, document => { code => 'NotFound' } } if $how =~ /missing/ || $cursor !~ /^\d+$/;
		return { body => '' } if $how =~ /short/;
		return undef if $how =~ /closed/;
	}
	my $from = $how =~ /loop/ && $cursor ne '' ? 0 : $cursor =~ /^\d+$/ ? $cursor : 0;
	my @page = grep { defined } @transfers[ $from, $from + 1 ];
	my $next = $how =~ /elsewhere/ ? 'http://other.example/transfers?x=1&y' : "@{[ $from + 2 ]}";
	return { document => { result => 'ok', transfers => [ map { shown($_) } @page ], $from + 2 < @transfers ? (cursor => $next) : () } };
}

sub serve
{
	my ($request) = @_;
	my ($method, $path) = @$request{qw(method path)};
	return { document => \@transfers } if $path eq '/books';
	return { document => \@asked } if $path eq '/asked';
	return make($request->{fields}) if $method eq 'POST';
	my ($t) = grep { $path eq "/transfers/$_->{id}" } @transfers;
	return { document => { %{ shown($transfers[0]) }, status => 'failed' } } if $t && $t->{tok} =~ /stranger/ && !$looked{ $t->{id} }++;
	return $t ? { document => shown($t) } : page($request);
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('list_pages', conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\n"
	  . "pgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);
my $document = JSON::PP::decode_json(slurp_file('test/connectors/hrefbank.json'));
delete $document->{answers}{transfer}{fields}{reference};    # which charge a look-up by id shows is told by the id alone
add_dialect($node, $bank, hrefbank => $document);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($token, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $token, token => $token, amount => 700, timeout => '20s', %a) }
sub asked { return @{ PgwTest::http_json('GET', "$bank->{url}/asked") } }

is(sql(pay("tok_$_")), 'captured', "$_: answered") for 1 .. 3;
for my $token (map { "tok_lost_$_" } 'far', 'broken', 'missing', 'closed', 'short', 'loop', 'denied')
{
	my ($name) = $token =~ /(?:lost_)(\w+)/;
	part($node, "tok_$name", sub {
		is(sql(pay($token)), 'captured', "$name: found on a further page");
		my @own = grep { $_->{tok} eq $token } bank_books($bank);
		is(scalar @own, 1, "$name: charged once");
		is(sql("SELECT bank_reference FROM pgw.payments WHERE client_request_id = '$token'"), $own[0]{id}, "$name: with its own id");
	});
}
part($node, 'tok_stranger', sub { is(sql(pay('tok_stranger')), 'captured', 'what a look-up by id shows of another charge is not believed') });
part($node, 'tok_strange', sub { is(sql(pay('tok_strange', timeout => '2s')), 'pending', 'nor is what nobody has foreseen') });
part($node, 'addresses', sub {
	is(sql(pay('tok_lost_elsewhere_again')), 'captured', 'a cursor that is an address');
	my @elsewhere = grep { /other/ } asked();
	ok(@elsewhere && !grep({ $_ ne '/transfers?limit=2&cursor=http%3A%2F%2Fother.example%2Ftransfers%3Fx%3D1%26y' } @elsewhere), 'an address is no more than a value') or diag(explain(\@elsewhere));
});
part($node, 'tok_gone', sub {
	my $before = asked();
	is(sql(pay('tok_gone')), 'failed', 'what is on no page is not found');
	my $pages = int((bank_books($bank) + 1) / 2);
	cmp_ok(scalar(asked()) - $before, '>=', $pages, 'after all of them have been read');
	is((grep { !/cursor/ } (asked())[ $before .. $before + $pages - 1 ])[0], '/transfers?limit=2', 'from the first one on');
});
is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'consistent');
$node->stop('fast');
done_testing();
