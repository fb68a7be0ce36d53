# What a call tells of its customer, options.customer: the bank hears it, by token and by card; it is kept nowhere, so a request that held it is never repeated; it waits for no commit, and stands in shared memory
# no longer than the request needs it.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwBound;
use PgwBytes;
use PgwMemory;
use PgwScriptedBank;
use PgwTest;
use PgwWire;
use PostgreSQL::Test::Utils;
use Test::More;

my %SECRET = (email => 'erika.mustermann.1963@kunden.example', phone => '+49 30 90187653', street => 'Heidestrasse 17 Hinterhaus', agent => 'Mozilla/5.0 (Customer 8412) Gecko/20100101');
my $node = pgw_node('customer', debug => 1, conf => "fsync = off\nlog_parameter_max_length = 0\npgw.retry_base_delay = '50ms'\npgw.retry_max_delay = '500ms'\npgw.retry_budget = 100\n");
$node->safe_psql('postgres', 'CREATE EXTENSION pgw');

# It remembers what it hears in memory alone, and takes a key twice for one charge.
my (%charge, @heard);
my $bank = scripted_bank(sub {
	my ($r) = @_;
	return { document => \@heard } if $r->{path} eq '/books';
	my $said = decode_json($r->{body});
	my $key = $r->{headers}{'idempotency-key'};
	push @heard, { %$said, key => $key };
	my $source = $said->{token} // 'card';
	my $times = grep { ($_->{token} // '') eq $source } @heard;
	return { status => 503, document => { state => 'busy' } } if $source =~ /busy/ && $times == 1;
	sleep 3 if $source =~ /slow/;
	my $id = $charge{$key} //= 'ch_' . (1 + keys %charge);
	return undef if $source =~ /lost/ && $times == 1;
	return { document => { state => 'ok', id => $id } };
});
my $answer = { rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 503, when => { '/state' => 'busy' }, outcome => 'not_processed' } ], fields => { bank_reference => '/id' } };
add_dialect($node, $bank, 'shop',
	{ v => 2, capabilities => { cards => JSON::PP::true, tokens => JSON::PP::true, idempotency => { header => 'Idempotency-Key', lifetime_seconds => 86400 } },
		operations => { charge => { method => 'POST', path => '/pay', answer => $answer, body => {
			token => '{{token}}', card => '{{card_number}}', n => '{{amount}}', ref => '{{transaction_ref}}', email => '{{customer./email}}', phone => '{{customer./phone}}', ship => '{{customer./shipping_address}}',
			browser => { ua => '{{customer./browser/browserUserAgent}}', height => '{{customer./browser/browserScreenHeight|string}}' } } } } });

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub heard { my ($token) = @_; return grep { ($_->{token} // 'card') eq $token } bank_books($bank) }

sub customer
{
	return encode_json({ actor => 'shop 7', customer => { email => $SECRET{email}, phone => $SECRET{phone}, shipping_address => { line1 => $SECRET{street}, country => 'DE' },
		browser => { browserUserAgent => $SECRET{agent}, browserScreenHeight => 1080 } } });
}

# What is said of an error; options and card are parameters of the protocol.
sub pay
{
	my ($id, $source, $options) = @_;
	my %value = (options => $options // customer(), source => $source);
	my $by = $source =~ /^\d+$/ ? "card_number => :source, card_expiry_month => 12, card_expiry_year => 2039" : 'token => :source';
	return run_bound($node, "SELECT FROM pgw.process_payment('$id', 1000, 'EUR', $by, options => :options, timeout => '30s');", \%value);
}

part($node, 'told', sub {
	is(pay('by token', 'tok_ok'), '', 'taken');
	my ($said) = heard('tok_ok');
	is_deeply([ @$said{qw(email phone)}, $said->{ship}, $said->{browser} ], [ @SECRET{qw(email phone)}, { line1 => $SECRET{street}, country => 'DE' }, { ua => $SECRET{agent}, height => '1080' } ], 'the bank hears it');
	is(sql("SELECT status FROM pgw.find_payment('by token')"), 'captured', 'captured');
	is(pay('by card', $CARD), '', 'and with a card');
	is((heard('card'))[0]{email}, $SECRET{email}, 'it is heard as well');
	is(pay('nobody', 'tok_nobody', '{}'), '', 'nothing need be told');
	is_deeply([ sort keys %{ (heard('tok_nobody'))[0] } ], [ qw(key n ref token) ], 'then its members are left out');
	is(sql("SELECT string_agg(client_request_id || ' ' || customer_sent, ', ' ORDER BY created_at) FROM pgw.payment_transactions"), 'by token true, by card true, nobody false', 'that it was told is recorded, not what');
	is(pay('by token', 'tok_ok', '{"customer": {"email": "another@kunden.example"}}'), '', 'the same call again is the same payment, whatever it tells now');
	is(scalar(heard('tok_ok')), 1, 'and not sent again');
});

part($node, 'lost answer', sub {
	is(pay('lost bare', 'tok_lost_bare', '{}'), '', 'answered');
	ok(comes_to($node, 'lost bare', 'Completed'), 'without a customer it is repeated with its key');
	is(scalar(heard('tok_lost_bare')), 2, 'twice sent');
	pay('lost told', 'tok_lost_told');
	ok(comes_to($node, 'lost told', 'RequiresManualReview'), 'with one it could only be sent as another request under the same key: a person finds out');
	is(scalar(heard('tok_lost_told')), 1, 'once sent');
});

part($node, 'nothing done', sub {
	is(pay('busy bare', 'tok_busy_bare', '{}'), '', 'answered');
	is(sql("SELECT status FROM pgw.find_payment('busy bare')"), 'captured', 'what the bank did not do is asked for again');
	is(pay('busy told', 'tok_busy_told'), '', 'answered');
	is(sql("SELECT status FROM pgw.find_payment('busy told')"), 'failed', 'but not without what was told the first time');
	is(scalar(heard('tok_busy_told')), 1, 'once sent');
});

part($node, 'in memory', sub {
	my $shared_view = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
	my $in_flight = sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id = 'kept' AND status = 'Created'") };
	my $memory = PgwMemory->new(told => qr/\Q$SECRET{email}\E/);
	SKIP: {
		skip 'memory of other processes is not readable here', 5 unless PgwMemory::readable($shared_view);
		my $client = PgwWire->new($node);
		$client->send("SELECT status FROM pgw.process_payment('kept', 1000, 'EUR', token => 'tok_slow', options => \$1::jsonb, timeout => '60s')", [ customer() ]);
		ok(wait_until($in_flight, 20), 'its intent is written');
		cmp_ok(scalar(my @own = $memory->private($client->backend)), '>', 0, "while it waits the caller's backend has it");
		ok(wait_until(sub { !$memory->shared($shared_view) }, 2), 'shared memory has nothing of it any more');
		ok($in_flight->(), 'from before the bank has answered');
		is($client->wait || $client->state, 'captured', 'and it is paid');
	}
});

# A row's value lies in a page, which is shared: what the backend has of it by itself are copies made for pgw.  Nothing of it is left, in whatever
# form: neither the jsonb, nor the text made of it, nor a single string.
part($node, 'of a row', sub {
	sql('CREATE TABLE orders (options jsonb)');
	sql(q{INSERT INTO orders VALUES ('{"customer": {"email": "of.a.row@kunden.example"}}')});
	my $memory = PgwMemory->new(any => qr/of\.a\.row\@kunden/);
	my $client = PgwWire->new($node);
	is($client->simple("SELECT p.status FROM orders o, pgw.process_payment('of a row', 1000, 'EUR', token => 'tok_row', options => o.options, timeout => '60s') p"), 'captured', 'paid');
	SKIP: {
		skip 'memory of other processes is not readable here', 1 unless PgwMemory::readable($client->backend);
		is_deeply([ $memory->private($client->backend) ], [], 'nothing of it is left in the backend');
	}
	is((heard('tok_row'))[0]{email}, 'of.a.row@kunden.example', 'the bank has heard it');
	my $odd = q({"": [], "a\"\\\\b": "\\u0001\\b\\f\\n\\r\\t\\u001f / \\u007f äß", "n": [1.50, -0.001, 1e3, true, false, null, {}, [[], {"x": {"y": "\\"\\""}}]], "z": {"": ""}});
	sql("SELECT FROM pgw.process_payment('odd', 1000, 'EUR', token => 'tok_ok', metadata => \$j\$$odd\$j\$, timeout => '60s')");
	is(sql("SELECT metadata::text = (\$j\$$odd\$j\$::jsonb)::text FROM pgw.payments WHERE client_request_id = 'odd'"), 't', 'what is read so is what was written, whatever stands in it');
});

part($node, 'refused', sub {
	my $n = scalar bank_books($bank);
	my $options = '{"customer": {"email": "x@kunden.example"}}';
	like(($node->psql('postgres', "SELECT FROM pgw.submit_payment('submitted', 1000, 'EUR', 'tok_ok', options => '$options')"))[2], qr/never stored, so it cannot be submitted/, 'it cannot be submitted');
	is(sql("SELECT count(*) FROM pgw.find_payment('submitted')"), '0', 'and nothing of it waits');
	like(($node->psql('postgres', "SELECT FROM pgw.process_payments('[{\"client_request_id\": \"many\", \"amount\": 1, \"currency\": \"EUR\", \"token\": \"tok_ok\", \"options\": $options}]')"))[2], qr/process_payments takes no customer/, 'nor be told with many');
	like(pay('wrong', 'tok_ok', '{"customer": {"email": "' . $SECRET{phone} . '", "ip": "' . $SECRET{email} . '"}}'), qr/options\.customer\.ip.*must be an IPv4.*options\.customer\.email.*must be an e-mail address/s, 'what cannot be is refused, all at once');
	is(scalar bank_books($bank), $n, 'the bank has heard of none of them');
});

# PostgreSQL quotes what it cannot read as JSON, before anything of pgw runs: at Bind, in a function of the application's, in a literal.
part($node, 'unreadable', sub {
	my ($short, $null) = (substr(customer(), 0, -1), customer() =~ s/shop 7/shop\\u0000/r);
	my $call = "SELECT status FROM pgw.process_payment('unreadable', 1000, 'EUR', token => 'tok_ok', options => %s, timeout => '60s')";
	sql('CREATE FUNCTION own_way(o jsonb) RETURNS text LANGUAGE sql AS $$ ' . sprintf($call, 'o') . ' $$; CREATE FUNCTION own_text(o text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN own_way(o::jsonb); END $$');
	my $size = -s $node->logfile;
	my $client = PgwWire->new($node);
	$client->simple('SET log_parameter_max_length_on_error = -1');
	for my $case ([ $short, 'invalid input syntax for type json' ], [ $null, 'unsupported Unicode escape sequence' ])
	{
		my ($text, $error) = @$case;
		for my $statement (sprintf($call, '$1::jsonb'), 'SELECT own_way($1)', 'SELECT own_text($1)', 'SELECT count(*) FROM pgw.process_payments(jsonb_build_array($1::jsonb))')
		{
			eval { $client->bind($statement, $text) };
			my ($said) = $client->err;
			like($said, qr/\Q$error/, 'refused') or diag($statement);
			unlike($said, qr/kunden|Heidestrasse|90187653|8412/, 'the client is told nothing of the customer');
		}
		like(($node->psql('postgres', sprintf($call, "'$text'")))[2], qr/\Q$error/, 'a literal is refused, too');
	}
	my $log = slurp_file($node->logfile, $size);
	unlike($log, qr/kunden|Heidestrasse|90187653|8412/, 'nor does the log have anything of him');
	like($log, qr/CONTEXT:  \(not shown by pgw: it may hold a card's or a customer's data\)\n\s*PL\/pgSQL function own_text\(text\) line 1 at RETURN/, 'it says where it was');
	sql('DROP FUNCTION own_text, own_way');
});

part($node, 'shown', sub {
	like(sql("SELECT body FROM pgw.render_request('shop', 'charge', '{\"token\": \"t\", \"customer\": {\"email\": \"$SECRET{street}\"}}')"), qr/"email":"\(customer\.\/email\)"/, 'a rendered request has marks for it');
	like(sql("SELECT body FROM pgw.render_request('shop', 'charge', '{\"token\": \"t\"}')"), qr/"ua":"\(customer\.\/browser\/browserUserAgent\)"/, 'and for a sample');
});

is(sql('SELECT count(*) FROM pgw.check_consistency()'), '0', 'the records are sound');
$node->stop('fast');
my %found = PgwBytes->new(%SECRET, event => 'BankProcessingStarted')->found_in($node->data_dir, $node->logfile);
ok(!$found{$_}, "the $_ is nowhere on disk") or diag(join ', ', @{ $found{$_} }) for sort keys %SECRET;
ok($found{event}, 'where the search finds what is there');
done_testing();
