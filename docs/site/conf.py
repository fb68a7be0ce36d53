# The documentation as a site (make docs): how Sphinx reads the pages as they are, README as the first of them.
# Pages are written to be read as plain Markdown, too; what only a site needs is put in here, while a page is read.
import re

project = 'pgw'
copyright = author = 'the pgw developers'
extensions = ['myst_parser', 'sphinx.ext.graphviz']
html_theme = 'sphinx_rtd_theme'
html_show_sourcelink = html_copy_source = False
html_show_copyright = False
graphviz_output_format = 'svg'
# the same ids of headings as where the pages are usually read, so that links to them work in both
myst_heading_anchors = 4
# blocks name languages for the eye; what is no valid program of one (a line of psql, an elision) is shown plain
suppress_warnings = ['misc.highlighting_failure']

# Who reads what.  A page that stands nowhere is an error (a document that is in no toctree).
contents = {
    'Using it': ['testing-your-app', 'clients', 'sql-reference', 'errors', 'operations', 'events', 'webhooks', 'settings', 'catalog'],
    'Running it': ['monitoring', 'alerts', 'runbooks', 'manual-review', 'scaling', 'restore', 'upgrade', 'ddl', 'breaker', 'performance'],
    'Banks': ['connectors', 'notifications', 'bank-protocol'],
    'Trusting it': ['security', 'reliability', 'resolution', 'state-machine', 'words'],
    'How it works': ['architecture', 'design-map', 'life-of-a-payment', 'processes', 'worker', 'open-work', 'where-to-change'],
    'Versions': ['versions', 'changelog'],
}


# of a picture's boxes, arrows, and the points where it begins and ends
look = ['node [shape=box, style=rounded, fontname=sans, fontsize=11]', 'edge [fontname=sans, fontsize=9]',
        '{ node [shape=point, width=0.12]; start; end }']


def toctrees():
    for caption, pages in contents.items():
        yield '\n```{toctree}\n:hidden:\n:caption: %s\n\n%s\n```\n' % (caption, '\n'.join(pages))


def state_diagram(match):
    """Mermaid's edges as Graphviz's: the one kind of diagram that the pages have."""
    edges = []
    for line in filter(str.strip, match.group(1).splitlines()):
        edge = re.fullmatch(r'\s*(\S+) --> (\S+?)(?:: (.*))?', line)
        if not edge:
            raise ValueError('no edge of a state diagram: ' + line)
        start, end, label = edge.groups()
        edges.append('%s -> %s [label="%s"]' % ('start' if start == '[*]' else start, 'end' if end == '[*]' else end, label or ''))
    return '```{graphviz}\ndigraph {\n%s\n}\n```' % '\n'.join(look + edges)


def read(app, name, source):
    text = re.sub(r'```mermaid\nstateDiagram-v2\n(.*?)```', state_diagram, source[0], flags=re.S)
    if name == 'index':
        text = re.sub(r'\]\(docs/', '](', text) + ''.join(toctrees())
    source[0] = text.replace('](../README.md', '](index.md').replace('](../META.json', '](META.json')


def setup(app):
    app.connect('source-read', read)
