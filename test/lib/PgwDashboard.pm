# PgwDashboard - what stands on a page of pgw.dashboard(): it is well-formed XML, so the server itself looks into it.
package PgwDashboard;

use strict;
use warnings;
use Exporter 'import';
use PgwTest;

our @EXPORT = qw(page_of page_text at cell);

my $pages = 0;

# The page that these arguments give, to this role; kept in the database, and known by its number.
sub page_of
{
	my ($node, $args, $role) = @_;
	$pages++;
	my $html = $node->safe_psql('postgres', ($role ? "SET ROLE $role; " : '') . 'SELECT pgw.dashboard(' . ($args // '') . ')');
	$node->safe_psql('postgres', "CREATE TABLE IF NOT EXISTS dashboard_page (page int, html text); INSERT INTO dashboard_page VALUES ($pages, \$page\$$html\$page\$)");
	return $pages;
}

sub page_text
{
	my ($node, $page) = @_;
	return $node->safe_psql('postgres', "SELECT html FROM dashboard_page WHERE page = $page");
}

# What the XPath expression, a string or a number, says of the page.
sub at
{
	my ($node, $page, $xpath) = @_;
	my $text = $node->safe_psql('postgres', "SELECT (xpath(\$x\$string($xpath)\$x\$, xmlparse(DOCUMENT html)))[1]::text FROM dashboard_page WHERE page = $page");
	# as the server shows XML
	my %is = (lt => '<', gt => '>', amp => '&', quot => '"', '#13' => "\r");
	return $text =~ s/&(lt|gt|amp|quot|#13);/$is{$1}/gr;
}

# The cell of the row that begins so, below that heading; of a table with one row only: row 0.
sub cell
{
	my ($node, $page, $table, $row, $heading) = @_;
	my $which = $row eq '0' ? '1' : "*[1]='$row'";
	return at($node, $page, "//table[\@id='$table']/tbody/tr[$which]/*[position() = count(//table[\@id='$table']//th[\@scope='col'][.='$heading']/preceding-sibling::th) + 1]");
}

1;
