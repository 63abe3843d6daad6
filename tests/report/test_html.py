"""Markup by construction."""

from prefjax.report.html import Html, tag, text

NASTY = "<script>alert(1)</script>\"'&"


def test_what_is_no_markup_is_escaped_in_texts_and_attributes():
    made = tag("p", NASTY, [NASTY, None, tag("b", NASTY)], title=NASTY)
    assert "<script" not in made
    assert made.count("&lt;script&gt;") == 4
    assert '"' not in made.removeprefix('<p title="').partition('">')[2]


def test_markup_is_not_escaped_twice():
    assert text(Html("<b>"), "<b>", 1, None) == "<b>&lt;b&gt;1"


def test_attributes_and_elements_without_an_end():
    assert tag("meta", http_equiv="x", class_="y", hidden=None) == '<meta http-equiv="x" class="y">'
    assert tag("line", x1=0) == '<line x1="0"/>'
