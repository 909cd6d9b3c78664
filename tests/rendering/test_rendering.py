"""What templates can do, what they cannot, and that they come to an end."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.rendering import Flaw, Part, TemplateError, compile_part, render
from notifications.rendering.nodes import ITERATIONS_MAX, OUTPUT_MAX

VALUE = "<b onload=x>\"'&{{7*7}}{% if %}${7*7}<%= 7 %>"


def fill(source: str, part: Part = Part.TEXT, /, **context: Any) -> str:
    return render({"part": compile_part(source, part)}, context)["part"]


def flaws(source: str, part: Part = Part.TEXT, /, **context: Any) -> list[Flaw]:
    with pytest.raises(TemplateError) as caught:
        fill(source, part, **context)
    return list(caught.value.flaws)


def codes(source: str, part: Part = Part.TEXT, /, **context: Any) -> list[str]:
    return [flaw.code for flaw in flaws(source, part, **context)]


# What it does


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ name }}, {{order.number}}", "ada lovelace, 7"),
        ("{{ name|upper }} {{ name|title }}", "ADA LOVELACE Ada Lovelace"),
        ("{{ shout|lower }}", "stop"),
        ("{{ day|date }}", "2030-01-31"),
        ('{{ day|date:"l, j F Y" }}', "Thursday, 31 January 2030"),
        (r'{{ moment|date:"H:i \o\n M d, g A" }}', "08:05 on Jan 31, 8 AM"),
        ('{{ absent|default:"there" }}', "there"),
        ('{{ empty|default:"there"|upper }}', "THERE"),
        ('{{ nothing|default:"none" }}', "none"),
        ("{{ absent.deep|default:0 }}", "0"),
        ("{{ name|truncate:7 }}", "ada ..."),
        ("{{ yes }} {{ zero }} {{ half }}", "true 0 0.5"),
        ("{% if yes %}a{% else %}b{% endif %}{% if not yes %}c{% else %}d{% endif %}", "ad"),
        ("{% if empty %}a{% endif %}{% if nothing %}b{% endif %}{% if zero %}c{% endif %}", ""),
        ("{% for i in items %}{{ i.n }},{% endfor %}", "1,2,"),
        ("{% for name in items %}{{ name.n }}{% endfor %}{{ name }}", "12ada lovelace"),
        (
            "Items:\n  {% for i in items %}\n- {{ i.n }}\n  {% endfor %}\nend",
            "Items:\n- 1\n- 2\nend",
        ),
        ("a { b } } %} }} {", "a { b } } %} }} {"),
        ("", ""),
    ],
)
def test_what_templates_can_do(source: str, text: str) -> None:
    context = {
        "name": "ada lovelace",
        "shout": "STOP",
        "order": {"number": 7},
        "day": "2030-01-31",
        "moment": "2030-01-31T08:05:00+01:00",
        "empty": "",
        "nothing": None,
        "yes": True,
        "zero": 0,
        "half": 0.5,
        "items": [{"n": 1}, {"n": 2}],
    }
    assert fill(source, **context) == text


def test_all_that_is_missing_is_named_at_once_and_across_parts() -> None:
    parts = {
        "subject": compile_part("{{ order.number }}", Part.LINE),
        "body": compile_part(
            "{{ name }}{{ name }}{% if coupon %}{% endif %}{% for i in items %}{% endfor %}",
            Part.TEXT,
        ),
    }
    with pytest.raises(TemplateError) as caught:
        render(parts, {"order": {}})
    assert caught.value.flaws == (
        Flaw("missing_variable", "the template also needs: order.number, name, coupon, items"),
    )


@pytest.mark.parametrize(
    ("source", "value", "code"),
    [
        ("{{ x }}", None, "null"),
        ("{{ x }}", [1], "invalid_type"),
        ("{{ x }}", {"a": 1}, "invalid_type"),
        ("{{ x|upper }}", {}, "invalid_type"),
        ("{{ x }}", 10**400, "invalid_value"),
        ("{{ x|date }}", "yesterday", "invalid_date"),
        ("{{ x|date }}", 7, "invalid_date"),
        ("{{ x|date }}", "2" * 5000, "invalid_date"),
        ("{% for i in x %}{% endfor %}", "text", "invalid_type"),
        ("{% for i in x %}{% endfor %}", {"a": 1}, "invalid_type"),
        ("{{ x.format }}", "text", "missing_variable"),
        ("{{ x.__class__ }}", "text", "missing_variable"),
        ("{{ x.items }}", {"a": 1}, "missing_variable"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_variable(
    source: str, value: Any, code: str
) -> None:
    [flaw] = flaws(source, x=value)
    assert flaw.code == code
    assert "x" in flaw.detail


@pytest.mark.parametrize("part", [Part.TEXT, Part.HTML])
def test_what_looks_like_a_template_in_a_value_is_text(part: Part) -> None:
    assert fill("{{ x }}", part, x="{{ y }}{% if y %}") == "{{ y }}{% if y %}"


def test_an_error_never_repeats_a_value() -> None:
    secret = "s3cret"
    for source in ("{{ x|date }}", '<a href="{{ x }}">', "{{ x }}{{ y }}"):
        with pytest.raises(TemplateError) as caught:
            fill(source, Part.HTML, x=secret)
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("{{ x", "unclosed_tag"),
        ("{{ x \n }}", "unclosed_tag"),
        ("{% if x", "unclosed_tag"),
        ("{{ }}", "invalid_variable"),
        ("{{ x() }}", "invalid_variable"),
        ("{{ x[0] }}", "invalid_variable"),
        ("{{ 7*7 }}", "invalid_variable"),
        ("{{ x.0 }}", "invalid_variable"),
        ("{{ x|ljust:99999 }}", "invalid_variable"),
        ("{{ x|ljust:9999 }}", "unknown_filter"),
        ("{{ x|safe }}", "unknown_filter"),
        ("{{ x|upper:2 }}", "invalid_argument"),
        ("{{ x|truncate:201 }}", "invalid_argument"),
        ("{{ x|truncate:3 }}", "invalid_argument"),
        ("{{ x|default }}", "invalid_argument"),
        ('{{ x|date:"Q" }}', "invalid_argument"),
        (f'{{{{ x|date:"{"l" * 51}" }}}}', "invalid_argument"),
        ("{{ x" + "|upper" * 6 + " }}", "too_many_filters"),
        ("{% if x %}", "unclosed_block"),
        ("{% for a in b %}{% endif %}", "invalid_block"),
        ("{% endif %}", "invalid_block"),
        ("{% with a=b %}", "invalid_block"),
        ("{% include 'x' %}", "invalid_block"),
        ("{% debug %}", "invalid_block"),
        ("{% if a == b %}{% endif %}", "invalid_block"),
        ("{% if x %}" * 3000, "too_deep"),
        ("{{ x }}" * 1001, "too_many_tags"),
        ("x" * 200_000, "too_long"),
    ],
)
def test_what_cannot_be_read_is_refused_before_it_is_filled(source: str, code: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_part(source, Part.TEXT)
    assert [flaw.code for flaw in caught.value.flaws] == [code]


def test_an_error_tells_the_line() -> None:
    for source in ("a\nb\n{{ 7 }}", "a\n\n<b><script>", "a\n{% if x %}\n{% nonsense %}{% endif %}"):
        with pytest.raises(TemplateError, match="line 3: "):
            compile_part(source, Part.HTML)


# Bombs


def test_loops_have_one_budget_between_them() -> None:
    rows = [1] * (ITERATIONS_MAX // 10)
    nested = "{% for a in x %}{% for b in x %}{% for c in x %}y{% endfor %}{% endfor %}{% endfor %}"
    assert codes(nested, x=rows) == ["too_large"]
    one = "{% for a in x %}{% endfor %}"
    assert fill(one * 10, x=rows) == ""
    assert codes(one * 11, x=rows) == ["too_large"]


def test_the_output_is_limited_in_bytes_over_all_parts() -> None:
    half = compile_part("{{ x }}", Part.TEXT)
    context = {"x": "é" * (OUTPUT_MAX // 4)}
    assert len(render({"a": half, "b": half}, context)["b"].encode()) == OUTPUT_MAX // 2
    with pytest.raises(TemplateError, match="256 KiB"):
        render({"a": half, "b": half, "c": compile_part("c", Part.TEXT)}, context)


def test_pieces_in_loops_are_counted() -> None:
    source = "{% for a in x %}" + "{% if a %}{% endif %}" * 900 + "{% endfor %}"
    assert codes(source, x=[1] * 1000) == ["too_large"]


def test_the_context_is_not_changed() -> None:
    context = {"x": [{"n": 1}]}
    fill("{% for y in x %}{% for x in x %}{% endfor %}{{ y.n }}{% endfor %}", **context)
    assert context == {"x": [{"n": 1}]}


# Places


@pytest.mark.parametrize("bad", ["\r", "\n", "\x00", "\x0b", "\x85", "\u2028", "\u202e"])
def test_a_line_stays_a_line(bad: str) -> None:
    assert codes("Hello {{ x }}", Part.LINE, x=f"a{bad}Bcc: b") == ["control_character"]
    assert codes(f"Hello {bad}", Part.LINE) == ["control_character"]
    assert fill("{{ x }}", Part.TEXT, x=bad) == bad


def test_a_text_message_has_no_control_characters_but_line_breaks() -> None:
    assert fill("{{ x }}", Part.SMS, x="a\r\nb") == "a\r\nb"
    for bad in ("\x00", "\t", "\x1b", "\u202e", "\u2028"):
        assert codes("{{ x }}", Part.SMS, x=bad) == ["control_character"]


ESCAPED = "&lt;b onload=x&gt;&quot;&#x27;&amp;{{7*7}}{% if %}${7*7}&lt;%= 7 %&gt;"


@pytest.mark.parametrize(
    "source",
    [
        "{{ x }}",
        "<p>{{ x }}</p>",
        '<p title="{{ x }}">',
        "<p title = 'a {{ x }}'>",
        '<p data-y="{{ x }}" aria-label="{{ x }}">',
        "a < b {{ x }}",
        "<!-- c --><p>{{ x }}",
        "<!--> {{ x }}",
        "<!-- - -- --!>{{ x }}",
        "<!doctype html>{{ x }}",
        "<style>a > b {}</style>{{ x }}",
        "<style></styl></STYLE >{{ x }}",
        "<title>{{ x }}</title>",
        "<br/>{{ x }}",
        "<p {% if x %}class='b'{% endif %}>{{ x }}",
        "<p {% if x %}class='b'{% else %}id=c {% endif %}>{{ x }}",
        "<p title=''>{% for y in z %}<b>{{ y }}</b>{% endfor %}{{ x }}",
    ],
)
def test_values_are_escaped_in_html(source: str) -> None:
    assert fill(source, Part.HTML, x=VALUE, z=[]).count(ESCAPED) == source.count("{{ x }}")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("<p title={{ x }}>", "unquoted_attribute"),
        ("<p title=a{{ x }}>", "unquoted_attribute"),
        ("<p {{ x }}>", "in_tag"),
        ("<p {{ x }}='a'>", "in_tag"),
        ("<{{ x }}>", "in_tag"),
        ("</{{ x }}>", "in_tag"),
        ("<p{{ x }}>", "in_tag"),
        ("<p onclick='{{ x }}'>", "unsafe_attribute"),
        ("<p style='{{ x }}'>", "unsafe_attribute"),
        ("<img srcset='{{ x }}'>", "unsafe_attribute"),
        ("<meta content='{{ x }}'>", "unsafe_attribute"),
        ("<!-- {{ x }} -->", "in_comment"),
        ("<!--[if mso]>{{ x }}<![endif]-->", "in_comment"),
        ("<!x {{ x }}>", "in_comment"),
        ("<?x {{ x }}>", "in_comment"),
        ("<style>{{ x }}</style>", "in_style"),
        ("<style></stylex>{{ x }}</style>", "in_style"),
        ("<title></tit{{ x }}</title>", "in_style"),
        ("<script>{{ x }}</script>", "unusable_element"),
        ("<SCRIPT src=x>", "unusable_element"),
        ("<svg><p>", "unusable_element"),
        ("<p title='{{ x }}", "unclosed_markup"),
        ("<p title='{{ x }}'", "unclosed_markup"),
        ("{{ x }}<!-- ", "unclosed_markup"),
        ("<title>{{ x }}", "unclosed_markup"),
        ("{% if x %}<p title='{% endif %}{{ x }}'>", "unbalanced_block"),
        ("{% if x %}<p title='{% else %}<p onclick='{% endif %}{{ x }}'>", "unbalanced_block"),
        ("{% for y in x %}<!--{% endfor %}", "unbalanced_block"),
        ("<a href='javascript:{{ x }}'>", "unsafe_url"),
        ("<a href='java&#115;cript:{{ x }}'>", "unsafe_url"),
        ("<a href=' {{ x }}'>", "unsafe_url"),
        ("<a href='https://{{ x }}/'>", "unsafe_url"),
        ("<a href='https://example.com{{ x }}'>", "unsafe_url"),
        ("<a href='{{ x }}{{ x }}'>", "unsafe_url"),
        ("<a href='{{ x }}.com{{ x }}'>", "unsafe_url"),
        ("<a href='/{{ x }}'>", "unsafe_url"),
        ("<a href='{% if x %}https://a.example/{% endif %}{{ x }}'>", "unbalanced_block"),
    ],
)
def test_where_no_escaping_would_do_no_variable_may_stand(source: str, code: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_part(source, Part.HTML)
    assert [flaw.code for flaw in caught.value.flaws] == [code]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/path",
        "https:evil",
        "https://a b",
        "https://a\u202eb",
        "",
        "ftp://example.com",
    ],
)
def test_a_link_leads_to_an_address_of_the_web_or_a_mailbox(url: str) -> None:
    for source in ('<a href="{{ x }}">', "<img src='{{ x }}'>", '<a HREF="{{ x }}/y">'):
        assert codes(source, Part.HTML, x=url) == ["unsafe_url"]


@pytest.mark.parametrize(
    ("source", "value", "text"),
    [
        ("<a href='{{ x }}'>", "https://e.com/?a=1&b=2", "<a href='https://e.com/?a=1&amp;b=2'>"),
        ("<a href='{{ x }}'>", "mailto:ada@e.com", "<a href='mailto:ada@e.com'>"),
        ("<a href='{{ x }}/y/{{ x }}'>", "http://e", "<a href='http://e/y/http%3A%2F%2Fe'>"),
        ("<a href='https://e.com/{{ x }}'>", "a/b?'", "<a href='https://e.com/a%2Fb%3F%27'>"),
        ("<a href='HTTPS://e.com?q={{ x }}'>", "é", "<a href='HTTPS://e.com?q=%C3%A9'>"),
        ("<a href='mailto:{{ x }}'>", "ada@e.com?cc=b", "<a href='mailto:ada@e.com%3Fcc%3Db'>"),
    ],
)
def test_values_in_addresses_are_kept_in_their_place(source: str, value: str, text: str) -> None:
    assert fill(source, Part.HTML, x=value) == text


class Structure(HTMLParser):
    """The tags of a document with the names of their attributes, and how many comments it has."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Any] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")


HOSTILE = st.sampled_from(
    [
        '"><img src=x onerror=a>',
        "'><img src=x onerror=a>",
        " onload=a x='",
        "--><b>",
        "</title></style></textarea><b>",
        "<!--",
        'https://e/"><b>',
        "https://e/' onload=a x='",
    ]
)
MARKUP = """
<p> </p> <a href='{{ x }}'> <a href="https://e/{{ x }}"> <p title="{{ x }}"> <!-- -->
<style> </style> <a href=' <p title=" <p> ' " > < / = {{ x }} {% if x %} {% endif %}
"""
marks = re.findall(r"{[{%].*?[%}]}|<[^>\s]+ [^>]*?>|\S+", MARKUP)
markup = st.lists(st.sampled_from(marks), max_size=20)


@settings(max_examples=500, deadline=None)
@given(markup.map(" ".join), HOSTILE)
def test_no_value_changes_the_structure_of_a_document(source: str, value: str) -> None:
    try:
        compiled = compile_part(source, Part.HTML)
        hostile = render({"x": compiled}, {"x": value})["x"]
    except TemplateError:
        return
    plain = render({"x": compiled}, {"x": "https://e/"})["x"]
    assert Structure(hostile).found == Structure(plain).found


# Whatever comes

PIECES = """
{{ x }} {{ x.y|upper }} {{ z|default:'<' }} {{ }} {% %} {% if x %} {% else %} {% endif %}
{% for y in x %} {% endfor %} <a href=' <p title=" ' " > <!-- --> <style> </style> < / = https://e/
"""
pieces = st.sampled_from(
    [*re.findall(r"{[{%].*?[%}]}|\S+", PIECES), "{{", "\n", "é", "\ud800", "\x00"]
)
sources = st.lists(pieces | st.text(max_size=5), max_size=30).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(sources, st.sampled_from(Part), st.dictionaries(st.sampled_from("xyz"), values))
def test_nothing_but_its_own_error_ever_comes_of_it(
    source: str, part: Part, context: dict[str, Any]
) -> None:
    try:
        text = fill(source, part, **context)
    except TemplateError:
        pass
    else:
        assert len(text.encode("utf-8", "surrogatepass")) <= OUTPUT_MAX
