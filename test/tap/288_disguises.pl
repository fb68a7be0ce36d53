# Card data in fields that are stored, in disguise: refused in every function and field, without being repeated, and not one byte of it on disk.
use strict;
use warnings;
use lib 'test/lib';
use File::Find;
use JSON::PP;
use MIME::Base64;
use PgwBound;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = pgw_node('disguises', debug => 1, conf => "fsync = off\nwal_level = logical\nlog_error_verbosity = verbose\n");
my $bank = bank_start();
pgw_setup($node, $bank);
my $year = (localtime)[5] + 1902;
my ($cvv, $holder) = ('737', 'DORA DISGUISE');

# A stranger's number and this call's own; both well-known test numbers.
my $other = join '', '5555' x 3, '4444';
my $codes = join ' ', map { sprintf '%02x', ord } split //, $CARD;

# Bound parameters: pgbench's extended protocol.  Values reach it as text that SQL puts together, so that no statement's text holds a number.
sub pay_bound
{
	my (%args) = @_;
	my %a = (client_request_id => "'never'", amount => 4200, currency => "'EUR'", card_number => '(:card::numeric)::text', card_expiry_month => 12, card_expiry_year => $year,
		card_cvv => '(:cvv::int)::text', card_holder => ':holder::text', timeout => "'20s'", %args);
	my $arguments = join ', ', map { "$_ => $a{$_}" } grep { defined $a{$_} } sort keys %a;
	return run_bound($node, "SELECT pgw.process_payment($arguments);", { card => $CARD, cvv => $cvv, other => $other, holder => $holder });
}

# SQL that makes the disguise out of a parameter on the server.
my $c = '(:card::numeric)::text';
my $o = '(:other::numeric)::text';
my %disguise = (
	'as it is' => $c, 'in groups' => "regexp_replace($c, '(.{4})', '\\1 ', 'g')", 'with dots' => "regexp_replace($c, '(.)', '\\1.', 'g')",
	'full-width digits' => "translate($c, '0123456789', '０１２３４５６７８９')", 'Arabic digits' => "translate($c, '0123456789', '٠١٢٣٤٥٦٧٨٩')",
	'zero-width blanks' => "regexp_replace($c, '(.)', '\\1' || chr(8203), 'g')", 'dashes' => "regexp_replace($c, '(.{4})', '\\1' || chr(8212), 'g')",
	'no-break spaces' => "regexp_replace($c, '(.{4})', '\\1' || chr(160), 'g')", 'letters between' => "regexp_replace($c, '(.)', '\\1x', 'g')",
	'reversed' => "reverse($c)", 'base64' => "encode(convert_to($c, 'UTF8'), 'base64')", 'hexadecimal' => "encode(convert_to($c, 'UTF8'), 'hex')",
	'url-safe base64 without padding' => "rtrim(translate(encode(convert_to($c || '??', 'UTF8'), 'base64'), '+/', '-_'), '=')",
	'percent' => "regexp_replace(encode(convert_to($c, 'UTF8'), 'hex'), '(..)', '%\\1', 'g')", 'entities' => "(SELECT string_agg('&#' || ascii(x) || ';', '') FROM unnest(string_to_array($c, NULL)) x)",
	'a stranger\'s' => $o, 'a stranger\'s, with slashes' => "regexp_replace($o, '(.{4})', '\\1/', 'g')", 'a stranger\'s, in base64' => "encode(convert_to($o, 'UTF8'), 'base64')",
	'the security code beside its name' => "'cvv ' || (:cvv::int)::text",
);
part($node, 'disguises', sub {
	for my $name (sort keys %disguise)
	{
		for my $field ('reference', 'client_request_id', 'metadata', 'bank_fields', 'merchant')
		{
			next if $field eq 'merchant' && $name ne 'with dots';
			my $value = $field =~ /metadata|bank_fields/ ? "jsonb_build_object('note', $disguise{$name})" : $disguise{$name};
			my $err = pay_bound($field => $value);
			my $told = $err =~ s/^pgbench: client .*?ERROR/ERROR/sr;
			ok($err =~ /"field":"$field","code":"card_number_in_stored_field"/ && $told !~ /$CARD|$other/, "$name in $field: refused, not repeated") or diag($err);
		}
	}
});

part($node, 'json', sub {
	my %json = (
		'split over members' => "jsonb_build_object('a', substr($c, 1, 5), 'b', substr($c, 6, 3), 'c', substr($c, 9))",
		'split over elements' => "jsonb_build_object('a', jsonb_build_array(substr($c, 1, 8), substr($c, 9)))", 'numbers' => "jsonb_build_object('a', substr($c, 1, 8)::int, 'b', substr($c, 9)::int)",
		'a number' => "jsonb_build_object('a', :card::numeric)", 'a number with an exponent' => "('{\"a\": ' || (:card::numeric / 1e15)::text || 'e15}')::jsonb",
		'a fraction' => "jsonb_build_object('a', :card::numeric / 1e16)", 'names' => "jsonb_build_object(substr($c, 1, 8), 1, substr($c, 9) || ' ', 2)",
		'JSON in a string' => "jsonb_build_object('a', jsonb_build_object('n', $c)::text)",
		'the security code as a member' => "jsonb_build_object('x', (:cvv::int)::text)", 'the security code, a number' => "jsonb_build_object('cvc', :cvv::int)",
		'a stranger\'s, in printed groups' => "jsonb_build_array(substr($o, 1, 4), substr($o, 5, 4), substr($o, 9, 4), substr($o, 13))",
	);
	for my $name (sort keys %json)
	{
		my $value = $json{$name} =~ /^jsonb_build_array/ ? "jsonb_build_object('a', $json{$name})" : $json{$name};
		my $err = pay_bound(metadata => $value);
		like($err, qr/"field":"metadata","code":"card_number_in_stored_field"/, "metadata, $name: refused");
	}
	like(pay_bound(reference => '(:cvv::int)::text'), qr/"field":"reference","code":"card_number_in_stored_field","message":"must not contain the card's security code"/, 'the security code as a reference: refused');
	like(pay_bound(amount => ':card::numeric'), qr/"field":"amount","code":"card_number_in_stored_field"/, 'the number as the amount: refused');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pgw.payments'), '0', 'nothing was taken');
});

# The same values are fine where they are nobody's card data.
part($node, 'ordinary ids', sub {
	my $n = 0;
	for my $v ('8e0b7f5e-3a0c-4e6f-9d33-0f0a1b2c3d4e', '01J9ZQ3V5X8Y7W6T5S4R3Q2P1N', '2026-11-26T10:15:00.123456', '+49 151 23456785', 'DE16 4306 0967 0000 0000 00', '4006381333931', '1892345678901234567')
	{
		my $e = pay_bound(client_request_id => "'fine " . ++$n . "'", reference => "'$v'", metadata => "jsonb_build_object('v', '$v', 'qty', :cvv::int)");
		is($node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = 'fine $n'"), 'captured', "\"$v\" is an ordinary reference") or diag($e);
	}
});

# What operators and administrators write.
part($node, 'other texts', sub {
	my $dashed = join "\xE2\x80\x94", $other =~ /(.{4})/g;
	my $b64 = encode_base64($other, '');
	my $nobody = '00000000-0000-0000-0000-000000000000';
	my $definition = $node->safe_psql('postgres', "SELECT definition FROM pgw.connectors WHERE name = 'json'");
	my %call = (
		'note of a review' => "pgw.resolve_review('$nobody', 'retry', 'card $dashed')", 'evidence' => qq(pgw.resolve_review('$nobody', 'retry', 'x', '{"a": "$b64"}')),
		'evidence in groups' => sprintf(q(pgw.resolve_review('%s', 'retry', 'x', '%s')), $nobody, encode_json([ $other =~ /(.{4})/g ]) =~ s/^(.*)$/{"a": $1}/r),
		'note of a rebind' => "pgw.rebind_attempts(1, 2, 'card $b64')", 'note of a resumption' => "pgw.resume_after_restore('card $dashed')",
		'reason of a refund' => "pgw.refund_payment('$nobody', 'r', 1, 'card $b64')", 'id of a void' => "pgw.void_payment('$nobody', 'v $dashed')",
	);
	for my $name (sort keys %call)
	{
		my (undef, undef, $e) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call{$name}");
		like($e, qr/PW400.*card_number_in_stored_field/s, "$name: refused");
	}
	my (undef, undef, $e) = $node->psql('postgres', "\\set VERBOSITY verbose\nINSERT INTO pgw.connectors (name, definition) SELECT 'bad', jsonb_set(definition::jsonb, '{name}', '\"$dashed\"') FROM pgw.connectors WHERE name = 'json'");
	like($e, qr/PW400.*card_number_in_stored_field/s, 'a connector document: refused');
});

# A byte search for this call's number and its disguises.
$node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal()');
$node->stop('fast');
my @needles = ($CARD, scalar reverse($CARD), encode_base64($CARD, ''), unpack('H*', $CARD), join('%', map { sprintf '%02x', ord } split //, $CARD), join('.', split //, $CARD),
	join(' ', $CARD =~ /(.{4})/g), join('x', split //, $CARD), join("\xE2\x80\x94", $CARD =~ /(.{4})/g), 'DORA DISGUISE');
my (@hits, $files);
find({ no_chdir => 1, wanted => sub {
	return unless -f $_ && !m{/bound\.sql$};
	my $text = slurp_file($_);
	$files++;
	push @hits, $_ if grep { index($text, $_) >= 0 } @needles;
} }, $node->basedir);
push @hits, 'server log' if grep { index(slurp_file($node->logfile), $_) >= 0 } @needles;
cmp_ok($files, '>', 900, "searched $files files");
is_deeply(\@hits, [], 'no number in any of its disguises, and no holder, in data directory, WAL and log');

done_testing();
