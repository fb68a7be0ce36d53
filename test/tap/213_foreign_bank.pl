# A bank that nobody here wrote: short numeric ids, forms, one document for all; its yes says less than it seems to.
use strict;
use warnings;
use lib 'test/lib';
use IO::Socket::INET;
use JSON::PP;
use PgwTest;
use PgwSession;
use Test::More;

# One request after the other, each on its own connection. The token tells what is odd about a charge:
# belied: its first refund is answered with the charge as it was, and not done.  yen: refunds are made in another currency.
# gone: the answer is lost, and somebody gives the money back before the same key comes again.
sub serve
{
	my ($listener) = @_;
	my (@charges, %keys);
	while (my $c = $listener->accept)
	{
		my ($method, $path) = split ' ', <$c> // '';
		my %h;
		while (defined(my $line = <$c>)) { last unless $line =~ /^([^:]+):\s*(.*?)\r\n/; $h{ lc $1 } = $2 }
		read $c, my $body, $h{'content-length'} // 0;
		my %f = map { my ($k, $v) = split /=/; $k => $v } split /[&?]/, ($body // '') . "&$path";
		my ($charge) = grep { $_->{ref} eq ($f{q} // '') || $_->{id} eq ($f{sale} // '') } @charges;
		my ($status, $answer) = (200, undef);
		if ($path eq '/books') { $answer = \@charges }
		elsif ($path eq '/sale' && !$keys{ $f{ref} }++)
		{
			push @charges, $charge = { id => 1 + @charges, ref => $f{ref}, total => $f{sum} + 0, cur => 'EUR', taken => $f{sum} + 0, returned => 0, state => 'ok', tok => $f{tok}, asked => 0, sent => [] };
			if ($f{tok} eq 'gone') { $charge->{returned} = $charge->{taken}; close $c; next }
			$answer = $charge;
		}
		elsif ($path eq '/sale') { ($answer) = grep { $_->{ref} eq $f{ref} } @charges }
		elsif ($path eq '/return' && $charge)
		{
			push @{ $charge->{sent} }, $f{ref};
			if ($charge->{tok} eq 'belied' && !$charge->{asked}++) { $answer = $charge }
			elsif ($charge->{returned} + $f{sum} > $charge->{taken}) { ($status, $answer) = (409, { state => 'no' }) }
			else
			{
				$charge->{returned} += $f{sum};
				$answer = { id => 1000 + $charge->{id}, ref => $f{ref}, state => 'ok', total => $f{sum} + 0, cur => $charge->{tok} eq 'yen' ? 'JPY' : 'EUR' };
			}
		}
		else { $answer = $charge // { state => 'none' } }
		my $text = encode_json($answer);
		print $c "HTTP/1.1 $status X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
		close $c;
	}
}

my $listener = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
my $url = 'http://127.0.0.1:' . $listener->sockport;
my $server = fork // die $!;
if (!$server) { eval { serve($listener) }; require POSIX; POSIX::_exit(0) }
END { my $status = $?; kill 'TERM', $server if $server; $? = $status }

my $node = pgw_node('foreign', debug => 1, conf => "fsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
pgw_setup($node);

my @rules = (
	{ status => 200, when => { '/state' => 'ok' }, outcome => 'approved' },
	{ status => 409, when => { '/state' => 'no' }, outcome => 'declined' });
my %fields = (reference => '/ref', bank_reference => '/id', amount => '/total', currency => '/cur', captured => '/taken', refunded => '/returned');
sub post { my ($path, %body) = @_; return { method => 'POST', path => $path, encoding => 'form', body => { %body, ref => '{{transaction_ref}}' }, answer => { rules => \@rules, fields => \%fields } } }
my %definition = (
	v => 1,
	capabilities => { tokens => JSON::PP::true, partial_refund => JSON::PP::true, idempotency => { lifetime_seconds => 86400, header => 'X-Key' }, lookup_consistent_after_seconds => 0 },
	operations => {
		charge => post('/sale', sum => '{{amount}}', tok => '{{token}}'),
		refund => post('/return', sale => '{{bank_reference}}', sum => '{{amount}}'),
		lookup_charge => { method => 'GET', path => '/find?q={{original_ref}}', answer => { rules => [ $rules[0], { status => 200, when => { '/state' => 'none' }, outcome => 'not_found' } ], fields => \%fields } } });
my %blind = (%definition, capabilities => { %{ $definition{capabilities} }, lookup_consistent_after_seconds => undef }, operations => { %{ $definition{operations} } });
delete $blind{operations}{lookup_charge};
for ([ foreign => \%definition ], [ blind => \%blind ])
{
	my ($name, $text) = ($_->[0], encode_json($_->[1]));
	$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('$name', \$json\$$text\$json\$);
		INSERT INTO pgw.banks (name, connector, base_url, account) VALUES ('$name', '$name', '$url', 'one')");
}

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, bank => 'foreign', timeout => '20s', %a) }
sub books { my ($tok) = @_; return join ',', map { "$_->{taken} $_->{returned}" } grep { $_->{tok} eq $tok } @{ PgwTest::http_json('GET', "$url/books") } }

part($node, 'answers that belie themselves', sub {
	sql('BEGIN; ' . pay('back', amount => 3333, token => 'belied') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'back') eq 'Refunded' }, 30), 'a yes that shows the charge as it was: asked again') or diag(events($node, 'back'));
	is(books('belied'), '3333 3333', 'and given back, once');
	is(sql(pay('part', amount => 4444, token => 'belied')), 'captured', 'a payment');
	sql("SELECT FROM pgw.find_payment('part') f, pgw.refund_payment(f.payment_id, 'part-r', 1000) r");
	ok(wait_until(sub { sql("SELECT refunded_amount FROM pgw.payments WHERE client_request_id = 'part'") eq '1000' }, 30), 'a refund that was asked for: the same') or diag(events($node, 'part-r'));
	is(books('belied'), '3333 3333,4444 1000', 'once, too');
});

part($node, 'another currency', sub {
	sql('BEGIN; ' . pay('yen', amount => 5000, token => 'yen') . '; ROLLBACK');
	ok(wait_until(sub { status_of($node, 'yen') eq 'RequiresManualReview' }, 30), 'given back in another currency: a person') or diag(events($node, 'yen'));
	is(sql("SELECT event_data->>'reason' FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE client_request_id = 'yen' AND event_type = 'ManualReviewRequired'"), 'amount_mismatch', 'who is told why');
	is(books('yen'), '5000 5000', 'it is not sent again');
});

# Only the repeated request tells.
part($node, 'given back by somebody else', sub {
	is(sql(pay('gone', bank => 'blind', amount => 6000, token => 'gone')), 'failed', 'the same key again shows a charge that was given back: no payment');
	ok(wait_until(sub { status_of($node, 'gone') ne 'BankUnknown' }, 30), 'settled');
	is(books('gone'), '6000 6000', 'nothing more is given back');
});

is(sql('SELECT c FROM pgw.check_consistency() c'), '', 'consistent');
$node->stop('fast');
done_testing();
