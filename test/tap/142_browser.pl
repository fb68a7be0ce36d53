# The page of pgw.dashboard() in a real browser: what it shows are the figures of the tables; nothing is loaded and the browser has nothing to say; dark and light, wide and on a phone
# everything is there, can be read, and has its name: with no payment, one, many, and with whatever a text can hold.
#
# With PICTURES (make pictures) some of it is kept in that folder, for docs/; with LOOK all of it, for whoever changes how it looks.
use strict;
use warnings;
use lib 'test/lib';
use PgwBrowser;
use PgwPrometheus 'missing_programs';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my @missing = missing_programs(qw(chromium chromedriver));
plan skip_all => "NOT TESTED: there is no @missing; make test installs them" if @missing;

my $pictures = $ENV{PICTURES};
my $dir = PostgreSQL::Test::Utils::tempdir();
my $checks = slurp_file('test/lib/page_checks.js');
my $node = pgw_node('shop', conf => "fsync = off\npgw.unknown_deadline = '1s'\npgw.retry_base_delay = '20ms'\npgw.retry_max_delay = '200ms'\npgw.compensation_delay = '20ms'\n");
my $bank = bank_start();
my $browser = PgwBrowser->new;
my $pages = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# The page as a file.
sub page
{
	my ($args) = @_;
	my $file = "$dir/" . ++$pages . '.html';
	append_to_file($file, sql('SELECT pgw.dashboard(' . ($args // '') . ')'));
	return $file;
}

# Whatever the reader has: nothing is loaded but the page, the browser has nothing to say, and page_checks.js finds no fault.
sub looks_well
{
	my ($file, $what) = @_;
	for ([ 1280, 900, 'light' ], [ 1280, 900, 'dark' ], [ 390, 844, 'light', 1 ], [ 320, 568, 'dark', 1 ])
	{
		my ($width, $height, $scheme, $phone) = @$_;
		$browser->width($width, $height, $phone);
		$browser->scheme($scheme);
		my ($loaded, $said) = $browser->open_file($file);
		is(join(' ', @$loaded), "file://$file", "$what, $width pixels, $scheme: nothing is loaded") unless $phone;
		is(join("\n", @$said), '', 'the browser has nothing to say') unless $phone;
		is(join("\n", @{ $browser->run($checks) }), '', "$what, $width pixels, $scheme: it looks well");
		$browser->run('for (const d of document.querySelectorAll("details")) d.open = true');
		is(join("\n", @{ $browser->run($checks) }), '', 'and with everything opened');
		$browser->picture("$ENV{LOOK}/$what-$width-$scheme.png") if $ENV{LOOK};
	}
}

# table => [ { heading => text } ], of what is shown
sub tables
{
	return $browser->run(q{
		return Object.fromEntries(Array.from(document.querySelectorAll('table')).map(t => [t.id, Array.from(t.tBodies[0].rows).map(row =>
			Object.fromEntries(Array.from(row.cells).map((cell, i) => [t.tHead.rows[0].cells[i].textContent, cell.innerText])))]));
	});
}

# ---------------------------------------------------------------- faults are found

append_to_file("$dir/faults.html", <<'HTML');
<!DOCTYPE html><html><head><title>t</title></head><body><main><h1>One</h1><h3>Three</h3><p style="color:#aaa">faint</p><p style="font-size:8px">small</p><div style="width:3000px">wide</div>
<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table><svg role="img"></svg><a href="#nowhere">link</a><p id="x"></p><p id="x"></p><img src="http://127.0.0.1:1/i.png" alt=""></main></body></html>
HTML
$browser->width(390, 844, 1);
my ($loaded, $said) = $browser->open_file("$dir/faults.html");
like("@$loaded", qr{http://127\.0\.0\.1:1/i\.png}, 'what is loaded is seen');
like("@$said", qr/i\.png/, 'and what the browser says');
my $faults = join "\n", @{ $browser->run($checks) };
like($faults, qr/^$_/m, $_)
  for 'the page scrolls sideways', 'beyond the edge: <div>', 'no language', 'a heading skips a level: <h3>', 'the id x is there twice', 'nowhere is not there', 'no caption', 'a heading of nothing',
  'a drawing without a title', 'contrast 2\.3', 'letters of 8px';

# ---------------------------------------------------------------- nothing, and one

pgw_setup($node, $bank, name => 'acme');
looks_well(page(), 'empty');
is(sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => 'first')), 'captured', 'a first payment');
looks_well(page(), 'one');

# ---------------------------------------------------------------- a shop

my $definition = slurp_file('test/connectors/formbank.json');
sql("INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$definition\$json\$);
	INSERT INTO pgw.banks (name, connector, base_url, secret, priority) VALUES ('nordpay', 'json', '$bank->{url}', 'bank', 110), ('oldbank', 'formbank', '$bank->{url}', 'bank', 200)");
my $since = sql('SELECT clock_timestamp()');
my $steps = $pictures ? 48 : 3;
for my $step (1 .. $steps)
{
	# more of them around the middle, as in the middle of a day
	my $many = int(8 + 40 * (1 - abs($step / $steps - 0.55)) ** 3);
	sql("SELECT count(pgw.submit_payment('order-$step-' || n, 1000 + n * 37, (ARRAY['EUR', 'EUR', 'USD'])[1 + n % 3], coalesce((ARRAY['tok_decline_insufficient_funds', 'tok_decline_do_not_honor',
		'tok_decline_expired_card', 'tok_decline_fraud'])[1 + (n * 7 + $step) % 29], 'tok_ok'), bank => (ARRAY['acme', 'acme', 'nordpay'])[1 + (n + $step) % 3])) FROM generate_series(1, $many) n");
	wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE status = 'pending'") == 0 }, 60) or die 'they are not paid';
}
for my $n (1, 2)
{
	sql('BEGIN; SELECT status FROM ' . pay_sql('process_payment', client_request_id => "left-$n") . '; ROLLBACK');
	is(sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => "doubt-$n", bank => 'oldbank', token => 'tok_500_after', amount => 4900 * $n)), 'in_review', 'one for a person');
}
ok(wait_until(sub { sql("SELECT count(*) FROM pgw.payment_transactions WHERE client_request_id LIKE 'left-%' AND status = 'Refunded'") == 2 }, 60), 'two are given back');
sql("SELECT count(pgw.refund_payment(payment_id, 'back-' || client_request_id)) FROM pgw.payments WHERE client_request_id LIKE 'order-%-5' AND status = 'captured'");
wait_rest($node, $bank);
my $until = sql('SELECT clock_timestamp()');
my $shop = page("since => '$since', until => '$until'");
looks_well($shop, 'shop');

part($node, 'figures', sub {
	$browser->open_file($shop);
	my $t = tables();
	my $totals = $browser->run('return Object.fromEntries(Array.from(document.querySelectorAll("#totals li")).map(li => li.innerText.split("\\n")))');
	my $attempts = "FROM pgw.payment_transactions WHERE kind = 'payment' AND created_at >= '$since'";
	my %counted = (Attempts => '', Approved => "AND status = 'Completed'", Declined => "AND status = 'Failed' AND pgw.is_decline(error_code)", 'Given back' => "AND status = 'Refunded'", Open => "AND status = 'RequiresManualReview'");
	for my $heading (sort keys %counted)
	{
		is($totals->{$heading}, sql("SELECT count(*) $attempts $counted{$heading}"), "shown: $heading");
		is(join(' ', map { "$_->{Bank} $_->{$heading}" } sort { $a->{Bank} cmp $b->{Bank} } @{ $t->{'approval-table'} }),
			sql("SELECT string_agg(bank || ' ' || n, ' ' ORDER BY bank COLLATE \"C\") FROM (SELECT bank, count(*) FILTER (WHERE true $counted{$heading}) AS n $attempts GROUP BY bank) b"), "$heading by bank");
	}
	is(join(' ', map { "$_->{Reason} $_->{Attempts}" } @{ $t->{'declines-table'} }),
		sql("SELECT string_agg(error_code || ' ' || n, ' ' ORDER BY n DESC, error_code) FROM (SELECT error_code, count(*) AS n $attempts AND status = 'Failed' GROUP BY error_code) c"), 'reasons');
	is(join(' ', map { $_->{Captured} } @{ $t->{'money-table'} }),
		sql("SELECT string_agg(currency || ' ' || round(n / 100.0, 2), ' ' ORDER BY currency) FROM (SELECT currency, sum(captured_amount) AS n FROM pgw.payments WHERE created_at >= '$since' GROUP BY currency) c"), 'money');
	is($browser->run('return document.querySelectorAll("article").length'), 2, 'the reviews');
	# each interval with attempts has its bar, and all of the drawing is within its frame
	is($browser->run('return document.querySelector("#plot-attempts-title").parentElement.querySelector("path").getAttribute("d").split("M").length - 1'),
		sql("SELECT count(DISTINCT floor(48 * extract(epoch FROM created_at - '$since') / extract(epoch FROM timestamptz '$until' - '$since'))) $attempts"), 'bars');
	is($browser->run(q{
		return Array.from(document.querySelectorAll('svg[role=img]')).filter(svg => {
			const frame = svg.getBoundingClientRect();
			return frame.height < 100 || frame.width < 250 || Array.from(svg.querySelectorAll('path')).some(path => {
				const box = path.getBoundingClientRect();
				return path.getAttribute('d') && (box.left < frame.left - 3 || box.right > frame.right + 3 || box.top < frame.top - 3 || box.bottom > frame.bottom + 3);
			});
		}).length}), 0, 'drawings within their frames');
});

# From one part of the page to another, as a picture that a page of docs/ can hold.
sub keep_picture
{
	my ($name, $scheme, $from, $to, @width) = @_;
	$browser->width(@width);
	$browser->scheme($scheme);
	$browser->open_file($shop);
	my ($top, $end) = map { $_ ? $browser->run('return document.querySelector(arguments[0]).getBoundingClientRect().top - 10', $_) : 0 } $from, $to;
	$browser->picture("$pictures/$name.png", from => $top, height => $end - $top, scale => 0.75);
	cmp_ok(-s "$pictures/$name.png", '<', 150_000, "$name is small enough");
}

if ($pictures)
{
	keep_picture('dashboard-light', 'light', undef, '#figures figure:nth-of-type(3)', 1000, 900);
	keep_picture('dashboard-dark', 'dark', '#money', 'article:nth-of-type(2)', 1000, 900);
	keep_picture('dashboard-phone', 'light', undef, '#figures figure:nth-of-type(2)', 390, 844, 1);
}

# ---------------------------------------------------------------- whatever a text can hold

part($node, 'nasty', sub {
	my $long = 'W' x 63;
	my $rtl = "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D \xE2\x80\xAE<b>\"'&\xD8\xB3\xD9\x84\xD8\xA7\xD9\x85";
	sql("INSERT INTO pgw.merchants (merchant) VALUES ('$long'), (\$t\$$rtl\$t\$);
		INSERT INTO pgw.banks (name, connector, base_url, secret, priority, enabled) SELECT left(repeat('bank-with-a-long-name-', 3), 55) || chr(97 + n / 10) || chr(97 + n % 10) || '.x', 'json', '$bank->{url}', 'bank', 200 + n, n % 2 = 0 FROM generate_series(1, 40) n;
		INSERT INTO pgw.alert_state (kind, subject, message, first_at, last_at, told_at, count, told)
			SELECT (ARRAY['refund_stuck', 'review', 'breaker_open'])[1 + n % 3], n || repeat('x', 300), (ARRAY[repeat('no blank at all', 60), \$t\$$rtl\$t\$, repeat('many words ', 90)])[1 + n % 3], now(), now(), now(), 1234567890123 * n, 1 FROM generate_series(1, 200) n");
	for my $n (1 .. 8)
	{
		sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => ($n % 2 ? 'i' x 250 : "$rtl$rtl$rtl") . $n, bank => 'oldbank', token => 'tok_500_after', amount => 99999999990 + $n, merchant => $n % 2 ? $long : $rtl));
	}
	sql("SELECT count(pgw.submit_payment('many-' || n, 99999999990 + n, (ARRAY['EUR', 'JPY', 'KWD'])[1 + n % 3], bank => 'acme', merchant => '$long', token => 'tok_ok')) FROM generate_series(1, 1500) n");
	wait_until(sub { sql("SELECT count(*) FROM pgw.payments WHERE status = 'pending'") == 0 }, 120) or die 'they are not paid';
	looks_well(page(), 'nasty');
});

$node->stop('fast');
done_testing();
