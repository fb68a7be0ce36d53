# What version 2 of the connector language says of requests, as a bank of its own hears it.
use strict;
use warnings;
use lib 'test/lib';
use Digest::SHA qw(hmac_sha256_hex sha256_base64);
use JSON::PP;
use MIME::Base64;
use PgwBound;
use PgwScriptedBank;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('language', debug => 1, conf => "fsync = off\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n");
pgw_setup($node);
my $secrets = $node->basedir . '/secrets';

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub pay { my ($id, %a) = @_; return ($node->psql('postgres', "SELECT status, bank_reference FROM " . pay_sql('process_payment', client_request_id => $id, %a)))[1, 2] }
sub codes { return sql("SELECT coalesce(string_agg(e.event_data->>'bank_code', ','), '-') FROM pgw.transaction_events e JOIN pgw.payment_transactions t USING (transaction_id) WHERE client_request_id = '$_[0]'") }
sub heard { my ($bank) = @_; return grep { ($_->{path} // '') !~ /books/ } bank_books($bank) }

sub put_secret
{
	my ($name, $content) = @_;
	open my $f, '>:raw', "$secrets/.new" or die $!;
	print $f $content;
	close $f;
	chmod 0600, "$secrets/.new";
	rename "$secrets/.new", "$secrets/$name" or die $!;
}

# A bank that remembers what it was sent, and answers what the test makes of it.
sub listening_bank
{
	my ($answer) = @_;
	my @heard;
	return scripted_bank(sub {
		my ($r) = @_;
		return { document => \@heard } if $r->{path} eq '/books';
		push @heard, $r;
		return $answer->($r, scalar @heard);
	});
}

# A document of version 2 with these parts of a charge.
sub document
{
	my ($charge, %o) = @_;
	return { v => 2, capabilities => { tokens => JSON::PP::true, %{ $o{capabilities} // {} } }, %{ $o{top} // {} }, operations => { charge => {
		method => 'POST', path => '/pay', answer => { rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' }, { status => 402, outcome => 'declined' } ],
			fields => { bank_reference => '/id', bank_code => '/why' } }, %$charge }, %{ $o{operations} // {} } } };
}

part($node, 'secrets by name', sub {
	my $bank = listening_bank(sub {
		my ($r, $n) = @_;
		my $body = decode_json($r->{body});
		return { status => 402, document => { state => 'no', why => "bad $body->{user}" } } if $body->{token} eq 'tok_echo';
		return { document => { state => 'ok', id => "id_$n", why => 'fine' } };
	});
	my $document = document({ headers => { 'X-Key' => '{{secret.api-key}}' }, body => { token => '{{token}}', user => '{{secret.user}}' } });
	put_secret('pair', "# of the sandbox\r\nuser=shop=0001\r\napi-key=k3y/+==\r\nunused=\"x\"\r\n");
	like(($node->psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('pair', \$json\$" . encode_json($document) . "\$json\$);
		INSERT INTO pgw.banks (name, connector, base_url) VALUES ('pair', 'pair', 'https://bank.example')"))[2],
		qr/"field": "secret".*\{\{secret\.api-key\}\}: must be the name of a file/, 'a bank without a file is refused at once, with the name that the connector asks for');
	sql("INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('pair', 'pair', '$bank->{url}', 'pair')");
	my ($row, $error) = pay('named', bank => 'pair');
	is($row, 'captured|id_1', 'paid') or diag($error);
	my ($request) = heard($bank);
	is($request->{headers}{'x-key'}, 'k3y/+==', 'the bank heard one value in a header, with all that stands behind the first =');
	is(decode_json($request->{body})->{user}, 'shop=0001', 'and the other in the body');
	is((pay('echo', bank => 'pair', token => 'tok_echo'))[0] . codes('echo'), 'declined|-', 'a bank that repeats a value: it is not kept');

	put_secret('pair', "user=shop=0001\nkey=k3y\n");
	ok(wait_until(sub { sql("SELECT details->>'secret' FROM pgw.health() WHERE check_name = 'bank:pair'") =~ /lacks a name that the connector asks for/ }, 20), 'a name is gone from the file: health() says so');
	like((pay('gone', bank => 'pair'))[1], qr/secret_missing/, 'nothing is sent');
	like(slurp_file($node->logfile), qr/File "pair" in pgw\.secrets_dir lacks a line api-key=value\./, 'the log says which');
	put_secret('pair', "user=shop=0001\napi-key=n3w-key\n");
	ok(wait_until(sub { ((pay('again ' . time, bank => 'pair'))[0] // '') =~ /captured/ }, 20), 'mended, it is taken up');
	is((heard($bank))[-1]{headers}{'x-key'}, 'n3w-key', 'with the new value');
	unlike(slurp_file($node->logfile), qr/k3y|shop=0001|n3w-key/, 'no value is in the log');
	is(sql("SELECT count(*) FROM pgw.payment_transactions t WHERE t::text ~ 'k3y|shop=0001|n3w'") . sql("SELECT count(*) FROM pgw.transaction_events e WHERE e::text ~ 'k3y|shop=0001|n3w'"), '00', 'nor in the tables');

	$document = document({ headers => { 'X-Key' => '{{secret}}' }, body => { token => '{{token}}' } });
	put_secret('single', "key=k3y==\n");
	add_dialect($node, $bank, 'single', $document, secret => 'single');
	is((split /\|/, (pay('single', bank => 'single'))[0])[0], 'captured', 'a file with one value that has a = in it');
	is((heard($bank))[-1]{headers}{'x-key'}, 'key=k3y==', 'is that value');
});

# The first request gets no answer: the second is the same byte for byte, and the third, another payment's, has a time and a nonce of its own.
part($node, 'time and nonce', sub {
	my $bank = listening_bank(sub { my ($r, $n) = @_; return $n == 1 ? undef : { document => { state => 'ok', id => "id_$n" } } });
	add_dialect($node, $bank, 'timed', document({ headers => { 'X-Date' => '{{now|rfc1123}}' },
		body => { token => '{{token}}', at => '{{now|epoch_ms|number}}', nonce => '{{nonce}}', amount => '{{amount|string}}', currency => '{{currency|lower}}', number => '{{currency|numeric}}' } },
		capabilities => { idempotency => { header => 'Idempotency-Key', lifetime_seconds => 3600 } }));
	my $before = time;
	is((pay('timed', bank => 'timed', amount => 4200))[0], 'captured|id_2', 'paid with the second request');
	pay('another', bank => 'timed', amount => 4200);
	my ($first, $second, $third) = heard($bank);
	is($second->{body}, $first->{body}, 'whose body is that of the first');
	is_deeply($second->{headers}, $first->{headers}, 'and so are its headers');
	my ($one, $other) = map { decode_json($_->{body}) } $first, $third;
	is("$one->{amount} $one->{currency} $one->{number}", '4200 eur 978', 'values as the bank wants them');
	ok($one->{at} >= ($before - 1) * 1000 && $one->{at} <= (time + 1) * 1000, 'the time is that of the first request');
	like($first->{headers}{'x-date'}, qr/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT$/, 'as RFC 1123 has it');
	ok($one->{nonce} =~ /^[0-9a-f]{32}$/ && $one->{nonce} ne $other->{nonce} && $one->{at} < $other->{at}, 'another payment has its own');
});

# As text, because a document that went through a hash or a jsonb would have lost it.
part($node, 'the order of members', sub {
	my $bank = listening_bank(sub { my ($r, $n) = @_; return { document => { state => 'ok', id => "id_$n" } } });
	my $body = '{"zeta": "{{token}}", "b": {"yy": "{{amount}}", "x": 1.50}, "a": 0}';
	my $text = encode_json(document({ body => 'BODY' })) =~ s/"BODY"/$body/r;
	sql("INSERT INTO pgw.connectors (name, definition) VALUES ('ordered', \$json\$$text\$json\$); INSERT INTO pgw.banks (name, connector, base_url) VALUES ('ordered', 'ordered', '$bank->{url}')");
	is((pay('ordered', bank => 'ordered', amount => 4200))[0], 'captured|id_1', 'paid');
	is((heard($bank))[0]{body}, '{"zeta":"tok_ok","b":{"yy":4200,"x":1.50},"a":0}', 'the body has its members as the document has them');
	is(sql("SELECT count(*) FROM pgw.bank_versions WHERE bank = 'ordered' AND definition::text = \$json\$$text\$json\$"), 1, 'and so has the version of the bank, to the byte');
	like(($node->psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('twice', \$json\$" . ($text =~ s/"a": 0/"a": 0, "b": 1/r) . "\$json\$)"))[2],
		qr{at /operations/charge/body/b: this name stands twice here}, 'a name that stands twice is refused, with its place');
});

# The bank computes the signature itself, of what it has received.
part($node, 'signatures', sub {
	my $key = 'signing-key-0123';
	my $bank = listening_bank(sub {
		my ($r, $n) = @_;
		my %h = %{ $r->{headers} };
		my $digest = sha256_base64($r->{body});
		$digest .= '=' while length($digest) % 4;
		my $signed = join("\n", $r->{method}, $h{host}, $r->{path}, $h{'x-date'}, $digest);
		my $good = $h{digest} eq "SHA-256=$digest" && $h{'x-signature'} eq hmac_sha256_hex($signed, $key) && $h{authorization} eq 'Basic ' . encode_base64('shop:pass=word', '');
		return $good ? { document => { state => 'ok', id => "id_$n" } } : { status => 402, document => { state => 'no' } };
	});
	my $signed = document({ headers => { 'X-Date' => '{{now|rfc1123}}' }, path => '/pay/{{currency|lower}}?m=1', body => { token => '{{token}}', amount => '{{amount}}' } });
	$signed->{headers} = { Authorization => 'Basic {{computed.login}}', Digest => 'SHA-256={{computed.the-digest}}', 'X-Signature' => '{{computed.signature}}' };
	$signed->{computed} = [ { name => 'the-digest', sha256 => '{{body}}', as => 'base64' }, { name => 'login', text => '{{secret.user}}:{{secret.password}}', as => 'base64' },
		{ name => 'signature', hmac_sha256 => { key => '{{secret.signing}}', key_as => 'base64', text => [ "{{method}}\n{{host}}\n", "{{path}}\n{{now|rfc1123}}\n{{computed.the-digest}}" ] }, as => 'hex' } ];
	put_secret('signing', "user=shop\npassword=pass=word\nsigning=" . encode_base64($key, '') . "\n");
	add_dialect($node, $bank, 'signed', $signed, base_url => "$bank->{url}/base/", secret => 'signing');
	is((pay('signed', bank => 'signed'))[0], 'captured|id_1', 'the signature is what the bank computes of method, host, path, date and body') or diag(explain([ heard($bank) ]));
	is((heard($bank))[0]{path}, '/base/pay/eur?m=1', 'of the path as it is sent');
	put_secret('signing', "user=shop\npassword=pass=word\nsigning=" . encode_base64('another', '') . "\n");
	ok(wait_until(sub { ((pay('wrong ' . time, bank => 'signed'))[0] // '') =~ /^declined/ }, 20), 'another key, another signature');
	put_secret('signing', "user=shop\npassword=pass=word\nsigning=no+base64\n");
	ok(wait_until(sub { ((pay('unreadable ' . time, bank => 'signed'))[1] // '') =~ /connector_invalid/ }, 20), 'a key that is not written as the connector says: nothing is sent');
});

# "expected this digest, got that one": without a key it is as good as the card's number.
part($node, 'a digest said again', sub {
	my $bank = listening_bank(sub {
		my ($r, $n) = @_;
		return { status => 402, document => { state => 'no', why => 'expected ' . $r->{headers}{digest} } };
	});
	my $document = document({ headers => { Digest => 'SHA-256={{computed.d}}' }, body => { pan => '{{card_number}}', token => '{{token}}' } }, capabilities => { cards => JSON::PP::true },
		top => { computed => [ { name => 'd', sha256 => '{{body}}', as => 'base64' } ] });
	add_dialect($node, $bank, 'digested', $document);
	my $year = (localtime)[5] + 1905;
	my $error = run_bound($node, "SELECT pgw.process_payment(client_request_id => 'said', amount => 4200, currency => 'EUR', card_number => (:card::numeric)::text, card_expiry_month => 12, card_expiry_year => $year, bank => 'digested');",
		{ card => '4242424242424242' });
	is(sql("SELECT status FROM pgw.payments WHERE client_request_id = 'said'"), 'declined', 'a payment by card is declined') or diag($error);
	is(codes('said'), '-', 'the digest of its body is not kept');
	is(sql("SELECT card_echoed FROM pgw.payment_transactions WHERE client_request_id = 'said'"), 't', 'nor what the bank says of the payment later');
	pay('said of a token', bank => 'digested');
	like(codes('said of a token'), qr{^expected SHA-256=[\w+/]{43}=}, 'where there is no card, it is a reason like any other');
});

# Everything that the compiler says is in test/unit (test_always_there.c, test_connector_mistakes.c).
sub refused
{
	my ($document, $pointer, $what) = @_;
	return is(sql('SELECT coalesce(string_agg(pointer, chr(10)), \'-\') FROM pgw.check_connector($d$' . encode_json($document) . '$d$) WHERE severity = \'error\''), $pointer, $what);
}
sub rendered { return ($node->psql('postgres', "SELECT body FROM pgw.render_request('$_[0]', 'charge', '$_[1]')"))[1, 2] }

my $void = { method => 'POST', path => '/void', body => { id => '{{original_ref}}' }, answer => { rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' } ] } };

part($node, 'in one alternative', sub {
	my $document = document({ body => { token => '{{token}}' } }, operations => { void => { %$void, body => { id => { '{{reason}}' => '{{original_ref}}' } } } });
	refused($document, '/operations/void', 'a void that names its charge in some requests only');
});
part($node, 'a rule for any page', sub {
	my $document = document({ body => { token => '{{token}}' } }, operations => { void => { %$void, answer => { rules => [ { status => '*', when => { '/error' => { exists => JSON::PP::false } }, outcome => 'approved' } ] } } });
	refused($document, '/operations/void/answer/rules/0', 'a yes that is any page without an error in it');
});
part($node, 'a method that moves', sub {
	my $document = document({ body => { token => '{{token}}' } }, operations => { void => { %$void, method => 'GET', path => '/void/{{original_ref}}', body => undef } });
	delete $document->{operations}{void}{body};
	refused($document, '/operations/void/method', 'a void by GET');
});
part($node, 'beside a setting', sub {
	add_dialect($node, listening_bank(sub { return { document => { state => 'ok' } } }), 'prefixed', document({ body => { token => '{{token}}', ref => '{{settings.prefix}}{{transaction_ref}}' } }));
	like((rendered('prefixed', '{"transaction_ref": "order7", "token": "tok_1"}'))[1], qr/\{\{transaction_ref\}\} would be left out, because \{\{settings\.prefix\}\} has no value/, 'our reference does not go with a setting that is missing');
	sql(q(UPDATE pgw.banks SET settings = '{"prefix": "p-"}' WHERE name = 'prefixed'));
	like((rendered('prefixed', '{"transaction_ref": "order7", "token": "tok_1"}'))[0], qr/"p-order7"/, 'it stands there with it');
});
part($node, 'paid by nothing', sub {
	add_dialect($node, listening_bank(sub { return { document => { state => 'ok' } } }), 'chosen', document({ body => { source => { '{{bank_fields.a}}' => '{{token}}', '{{reference}}' => 1 } } }));
	like(join(' ', map { $_ // '' } pay('unpaid', bank => 'chosen', reference => 'r')), qr/connector_invalid/, 'a charge that would hold neither token nor card is not sent');
});

$node->stop('fast');
done_testing();
