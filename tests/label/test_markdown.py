"""A guideline as HTML: what is marked up, and that nothing gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefjax.label.markdown import inline, render


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One\n## Two", "<h2>One</h2>\n<h3>Two</h3>"),
        ("a\nb\n\nc", "<p>a<br>b</p>\n<p>c</p>"),
        ("- a\n- b\n  goes on\n  - in\n1. c", "<ul><li>a</li><li>b goes on<ul><li>in</li></ul></li><li>c</li></ul>"),
        ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
        ("> q\n> **r**", "<blockquote><p>q<br><strong>r</strong></p></blockquote>"),
        ("```py\na <b\n\n# c\n```\nd", "<pre><code>a &lt;b\n\n# c</code></pre>\n<p>d</p>"),
        ("```\nopen", "<pre><code>open</code></pre>"),
        ("---", "<hr>"),
        ("| a | b |\n|---|---|", "<pre>| a | b |\n|---|---|</pre>"),
        ("", ""),
    ],
)
def test_blocks(text, expected):
    assert render(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**a** *b* _c_ `**d**`", "<strong>a</strong> <em>b</em> <em>c</em> <code>**d**</code>"),
        ("snake_case_name 2 * 3 * 4", "snake_case_name 2 * 3 * 4"),
        ("<script>alert('x')</script>", "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;"),
        ("[a](javascript:alert(1))", "[a](javascript:alert(1))"),
        (
            "**[*a* b](https://x.y/_b_/**c**) d** _e_",
            '<strong><a href="https://x.y/_b_/**c**" target="_blank" rel="noopener noreferrer"><em>a</em> b</a> d'
            "</strong> <em>e</em>",
        ),
        (
            '[a](https://x.y/?q="onclick=b)',
            '<a href="https://x.y/?q=&quot;onclick=b" target="_blank" rel="noopener noreferrer">a</a>',
        ),
    ],
)
def test_lines(text, expected):
    assert inline(text) == expected


@given(st.text(alphabet="<>&\"'`*_[]()# -1.|\nahttps:/"))
def test_nothing_but_its_own_tags_comes_out(text):
    import html.parser

    tags = set()

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.add(tag)
            assert {name for name, _ in attrs} <= {"href", "target", "rel"}
            assert all(value.startswith(("http://", "https://")) for name, value in attrs if name == "href")

    Parser().feed(render(text))
    known = {"p", "br", "strong", "em", "code", "pre", "a", "ul", "ol", "li", "blockquote", "hr"}
    assert tags <= known | {f"h{n}" for n in range(2, 7)}
