#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes templates.json: chat templates and what jinja2 makes of them.

jinja2 is set up as transformers' chat_template_utils sets it up. Committed are the cases below and
the template of a model file; `--tree DIR` writes the cases for a folder of other people's templates
instead (for development; their text is not ours to keep).

usage: make_templates.py [--model GGUF] [--tree DIR] -o FILE
       build/tests/unit/template/test_template_golden FILE
needs: pip install jinja2 gguf
"""
import argparse
import datetime
import json
import pathlib

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1721995200  # 2024-07-26 12:00:00 UTC


class AssistantTracker(Extension):
    """{% generation %}, as in transformers."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_support", [])
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _support(self, context, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def strftime_now(format):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(format)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[AssistantTracker, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


ENV = environment()


def case(name, template, base=None, **given):
    """base: variables that many cases share; the file holds them once, under "vars"."""
    inputs = {"messages": [], "tools": None, "documents": None, "add_generation_prompt": False,
              "bos_token": "<s>", "eos_token": "</s>"}
    inputs.update(given)
    result = {"name": name, "template": template, "input": dict(inputs)}
    if base:
        result["vars"] = True
        inputs.update(base)
    try:
        result["out"] = ENV.from_string(template).render(**inputs)
    except jinja2.exceptions.TemplateError as e:
        own = type(e) is jinja2.exceptions.TemplateError
        result["error"] = str(e) if own else ""
    except Exception:
        result["error"] = ""
    return result


VARS = {
    "s": "Hello, World", "u": "Grüße, 世界 🙂!", "ws": " \t x y \n ", "e": "", "n": 7, "m": -3,
    "f": 2.5, "t": True, "x": None, "l": [3, 1, 2], "el": [], "d": {"b": 1, "a": [1, "two", None]},
    "ed": {}, "q": "it's \"quoted\" <b>&\\ \n\x01 é", "big": 18446744073709551615,
    "users": [{"name": "Bob", "age": 30, "tags": ["x"]}, {"name": "alice", "age": 25},
              {"name": "Carol", "age": 30, "tags": []}],
    "items_d": {"items": [1], "keys": "k", "get": 5},
}

EXPRESSIONS = r"""
1 + 2 * 3
(1 + 2) * 3
7 // 2
-7 // 2
-7 % 3
7 % -3
-7.5 % 2
7 / 2
6 / 3
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
1 - 2 - 3
100 - 10 * 2 + 1
1.5 + 1
1e3
1.5e-7
1e16
123456789.125
0.1 + 0.2
1e22 * 10
3.0
1_000
0x1f + 0b11 + 0o17
+n
-n
- - n
-f
t + 1
1 == 1.0
1 == true
'1' == 1
1 < 2 < 3
1 < 3 < 2
1 < 2 == true
'a' < 'b'
'a' < 'B'
[1,2] < [1,3]
(1,2) == (1,2)
[1,2] == (1,2)
none == none
none == false
missing == missing
missing == none
d == {'a': [1, 'two', none], 'b': 1}
l != [3,1,2]
not t
not not t
not missing
true and false
1 and 2
0 or 'x'
'' or missing or 'y'
1 or missing.boom
0 and missing.boom
true or false and false
not true or true
'a' in 'cat'
'z' not in 'cat'
3 in l
9 in l
'a' in d
'z' in d
not 3 in l
none in [none]
'a' in missing
'x' if t else 'y'
'x' if not t else 'y'
'x' if false
('x' if false) is defined
'a' if false else 'b' if false else 'c'
'a' ~ 1 ~ none ~ true ~ 1.0
'a' ~ missing ~ 'b'
'ab' 'cd'
'a' * 3
3 * 'a'
'a' * 0
'a' * -1
[1] * 2
[1] + [2]
(1,) + (2,)
'a' + 'b'
'%s is %d' % ('x', 3)
'%5.2f|%-5s|%05d|%x' % (3.14159, 'ab', 42, 255)
'%s' % 'one'
'%s%%' % 5
'%(a)s' % {'a': 1}
'%r' % 'x'
()
(1,)
(1, 'a', none)
1, 2
[]
[1, [2, 'three'], {'a': none}]
{}
{'a': 1, 'b': [true, 1.5]}
{1: 'one', none: 'n', true: 't'}
{'a': 1, 'a': 2}
d
l
t
x
n
f
missing
u
q
[q]
[u]
["it's"]
['"']
["'\""]
['\u200b\xa0é']
'\x41\u00e9\n\t\\ \'\"\101 \q'
'line\
cont'
big
[big]
d.b
d['b']
d.a[1]
d['a'][0]
d.missing
d['missing']
d.missing.more
missing.attr
missing['x']
x.attr
x['a']
n.attr
d.items()
d.keys()
d.values()
d.items()|list
d.get('b')
d.get('z')
d.get('z', 'dflt')
d.get('a').index('two')
items_d['items']
items_d.items()
items_d['get']
d['get']('b')
d.pop('b')
d.update({})
l.append(4)
l.sort()
l.count(1)
l.index(2)
l.index(99)
l[0]
l[-1]
l[5]
l['0']
l.0
l[1:]
l[:-1]
l[::-1]
l[::2]
l[5:1]
l[-2:]
l[1:2][0]
l[0:100]
s[0]
s[-1]
s[99]
s[1:4]
s[::-1]
s[:-2]
s[::3]
s[-3:]
s[5:2:-1]
u[0]
u[2]
u[-2]
u[7:9]
u[::-1]
u[3:]
u|length
s|length
l|length
d|length
e|length
missing|length
n|length
x|length
l|map('string')|length
s|upper
s|lower
u|upper
u|lower
'straße'|upper
'ÀÉ ÿ Я ж Ω σ'|lower
'àé я ж ω'|upper
s|title
"it's a-test (of) [title] x_y"|title
"it's a-test x_y".title()
s|capitalize
'hELLO wORLD'|capitalize
'élan'|capitalize
ws|trim
'xxaxx'|trim('x')
'\u3000a\xa0'|trim
n|trim
[1]|trim
s|replace('l', 'L')
s|replace('l', 'L', 1)
s|replace('', '-')
s|replace('zzz', 'x')
n|replace('7', '8')
s|first
s|last
l|first
l|last
el|first
el|last
missing|first
l|sort
l|sort(reverse=true)
['b', 'A', 'c']|sort
['b', 'A', 'c']|sort(case_sensitive=true)
users|sort(attribute='age')|map(attribute='name')|list
users|sort(attribute='name')|map(attribute='name')|join(' ')
[1, 'a']|sort
l|reverse|list
s|reverse
l|join
l|join(', ')
l|join(', ', attribute='x')
users|join(', ', attribute='name')
u|join('.')
d|join('-')
missing|join(',')
[none, true, 1.5]|join('/')
l|sum
el|sum
users|sum(attribute='age')
l|sum(start=10)
l|min
l|max
el|min
['b', 'A']|min
users|max(attribute='age')
[1, 1, 2, 'a', 'A']|unique|list
users|unique(attribute='age')|map(attribute='name')|list
m|abs
f|abs
'x'|abs
f|round
2.675|round(2)
2.5|round
3.5|round
1.55|round(1)
7|round
7.4|round(method='ceil')
7.6|round(method='floor')
7.123|round(1, 'ceil')
'42'|int
' 42 '|int
'4.7'|int
'x'|int
'x'|int(5)
'ff'|int(0, 16)
4.9|int
-4.9|int
true|int
none|int
'1.5'|float
'x'|float
'x'|float(1.0)
3|float
missing|default('d')
x|default('d')
x|default('d', true)
e|default('d')
e|default('d', boolean=true)
missing|default
missing|d('z')
d.zz|default('k')
missing|default(missing)
l|string
l|string|length
'abc'|list
d|list
l|list
missing|list
5|list
d|items|list
d|dictsort
{'B': 1, 'a': 2}|dictsort
{'B': 1, 'a': 2}|dictsort(true)
{'b': 1, 'a': 2}|dictsort(by='value')
{'b': 1, 'a': 2}|dictsort(reverse=true)
missing|items|list
d|tojson
l|tojson
q|tojson
u|tojson
u|tojson(ensure_ascii=true)
x|tojson
t|tojson
f|tojson
[1.0, 1e100, 1e-10]|tojson
d|tojson(indent=2)
{'a': {}, 'b': [], 'c': [{}]}|tojson(indent=4)
l|tojson(indent='\t')
d|tojson(separators=(',', ':'))
d|tojson(sort_keys=true)
{'b': {'d': 1, 'c': 2}, 'a': 0}|tojson(sort_keys=true, indent=1)
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
(1, 2)|tojson
missing|tojson
d.items()|tojson
'</script>&\'"'|tojson
'a'|tojson|safe + '<'
big|tojson
'<b>'|escape
'<b>'|e ~ '<'
'<b>'|safe ~ '<'
'<b>'|safe + '<'
'<' + '<b>'|safe
('<'|safe)|upper + '&'
['<'|safe]
'x\ny\n\nz'|indent
'x\ny\n\nz'|indent(2)
'x\ny\n\nz'|indent(2, true)
'x\ny\n\nz'|indent(2, true, true)
'x\ny'|indent('> ')
'abc'|center(9)
'abcd'|center(9)
'the quick brown fox jumps'|truncate(12)
'the quick brown fox jumps'|truncate(12, true)
'the quick brown fox jumps'|truncate(12, false, '~', 0)
'short'|truncate(3, leeway=5)
s|wordcount
'a b/c?d=é'|urlencode
'%s-%s'|format('a', 1)
'%(x)s'|format(x=3)
[1,2,3,4,5]|batch(2)|list
[1,2,3]|batch(2, 'x')|list
users|groupby('age')|map('first')|list
users|groupby('age')|map('last')|map('length')|list
users|map(attribute='name')|list
users|map(attribute='zip')|list
users|map(attribute='zip', default='-')|list
users|map(attribute='tags.0', default='-')|list
['a', 'b']|map('upper')|list
['a', 'b']|map('replace', 'a', 'z')|list
[[1,2],[3]]|map('length')|list
[[1,2],[3]]|map('first')|join(',')
[1,2,3,4]|select('odd')|list
[1,2,3,4]|select('>', 2)|list
[1,2,3,4]|reject('even')|list
[0,1,'',none,'a']|select|list
[0,1,'',none,'a']|reject|list
users|selectattr('age', 'equalto', 30)|map(attribute='name')|list
users|selectattr('age', 'eq', 30)|list|length
users|selectattr('tags')|map(attribute='name')|list
users|selectattr('tags', 'defined')|map(attribute='name')|list
users|rejectattr('tags')|map(attribute='name')|list
users|rejectattr('name', 'in', ['Bob'])|map(attribute='name')|list
users|selectattr('age', '==', 99)|list
('yes' if users|selectattr('age', 'eq', 99) else 'no')
users|selectattr('age', 'eq', 30)|first
l|map('nosuchfilter')|list
s|nosuchfilter
s is nosuchtest
missing is defined
s is defined
d.zz is defined
missing is undefined
x is none
missing is none
s is string
n is string
d is mapping
l is mapping
s is iterable
n is iterable
d is iterable
missing is iterable
l is iterable
s is sequence
l is sequence
d is sequence
n is sequence
missing is sequence
d.items() is sequence
d.keys() is iterable
l|map('string') is sequence
n is number
f is number
t is number
s is number
n is integer
t is integer
f is float
t is boolean
n is boolean
t is true
n is true
1 is true
false is false
0 is false
n is odd
n is even
8 is divisibleby 4
8 is divisibleby(3)
n is eq 7
n is equalto(7)
n is ne 7
n is gt 3
n is lt 3
n is ge 7
n is le 7
3 is in l
3 is not in l
'abc' is upper
'ABC' is upper
'abc' is lower
l is sameas l
none is sameas none
range is callable
s is callable
s is not string
s is not none and n is number
x is not none or t
(n is odd) and (n is not even)
n is defined and n > 3
'upper' is filter
'odd' is test
s.upper()
s.lower()
s.title()
s.capitalize()
ws.strip()
ws.lstrip()
ws.rstrip()
'xxaxx'.strip('x')
'abcba'.lstrip('ab')
'abcba'.rstrip('ab')
'éaé'.strip('é')
s.split()
s.split(',')
'a,b,,c'.split(',')
'a,b,c'.split(',', 1)
'  a  b  c '.split()
'  a  b  c '.split(none, 1)
'a,b,c'.rsplit(',', 1)
'abc'.split('abc')
''.split()
''.split(',')
'abc'.split('')
'<think>a</think>b'.split('</think>')[-1].lstrip('\n')
'<think>a</think>b'.split('</think>')[0].split('<think>')[-1]
'a\nb\r\nc'.splitlines()
'a=b=c'.partition('=')
'abc'.partition('=')
'a=b=c'.rpartition('=')
s.startswith('Hell')
s.startswith(('x', 'H'))
s.endswith('rld')
s.endswith('x')
s.removeprefix('Hello')
s.removesuffix('World')
s.replace('o', '0')
s.replace('o', '0', 1)
s.find('World')
s.find('zzz')
u.find('世')
u.rfind('!')
s.index('W')
s.index('zz')
s.count('l')
','.join(['a', 'b'])
','.join('abc')
','.join([1])
'-'.join(d)
'{} and {}'.format('a', 2)
'{0}{1}{0}'.format('a', 'b')
'{x:>5}|{y:<5}|{z:^5}'.format(x='a', y='b', z='c')
'{:.2f} {:05d} {:,}'.format(3.14159, 42, 1234567)
'{{}} {!r}'.format('q')
'{}'.format(none)
'{}'.format([1, 'a'])
'{} {}'.format('a')
'{a.b} {l[1]}'.format(a=d, l=l)
'123'.isdigit()
'12a'.isdigit()
'abc'.isalpha()
'ab1'.isalnum()
' '.isspace()
'AB'.isupper()
'ab'.islower()
s.nosuch
s.nosuch()
s()
missing()
range(3)|list
range(1, 7, 2)|list
range(5, 0, -2)|list
range(3)
range(3)[1]
range(0)|list
range(200000)|length
dict(a=1, b='x')
namespace(a=1).a
namespace(a=1).b
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%A, %B %-d')
raise_exception('no way')
raise_exception('Grüße ' ~ 5)
missing + 1
'a' + 1
1 + none
1 / 0
1 % 0
[1] + (2,)
{} + {}
'a' < 1
none < 1
l.x.y
messages
tools
bos_token + eos_token
add_generation_prompt
documents
tools is none
[[[[1]]]]
'a' ~ ('b' if t else 'c') ~ 'd'
(l|length) - 1
l|length - 1
-1|abs
-n|abs
f|int + 1
s|lower|replace('hello', 'bye')|upper
{'a': {'b': [10, 20]}}.a.b[1]
{'a': 1}['a']
[1,2,3][1]
'abc'[1]
(1,2)[0]
{(1,2): 'tuple key'}[(1,2)]
{[1]: 2}
d.b is defined and d.b == 1
true == True
none is none
'None' == none|string
loop
[1,2,]
{'a': 1,}
(1)
((1,))
1 if 2 if 3 else 4 else 5
'a' 'b' ~ 'c'
not 1 in [2]
not (1 in [2])
1 in [1] == true
[1,2,3] == [1,2,3.0]
""
''|default('x')
1.0|string
100000000000000000000.0
12345678901234567.0
0.0001
0.00001
-0.0
1/3
2**62
'é' == 'é'
s | upper | lower
s|upper()
d['a'] | last is none
""".strip("\n")

BLOCKS = {
    "trim_blocks": "a\n{% if t %}\nb\n{% endif %}\nc\n",
    "lstrip_blocks": "a\n    {% if t %}\n    b\n    {% endif %}\nc",
    "lstrip not before print": "a\n    {{ n }}\n",
    "lstrip only on blank lines": "a  {% if t %}b{% endif %}",
    "plus keeps": "a\n    {%+ if t %}\nb{% endif +%}\nc",
    "minus strips": "a \n\n {%- if t -%} \n b \n {%- endif -%} \n c",
    "minus on print": "a \n {{- n -}} \n b",
    "plus on print": "a {{+ n }} b",
    "newline kept after print": "{{ n }}\n{{ n }}\n\n",
    "last newline dropped": "x\n",
    "only one newline dropped": "x\n\n",
    "crlf": "a\r\n{% if t %}\r\nb\r\n{% endif %}\r\nc\r\n",
    "comment": "a{# no #}b",
    "comment trims": "a\n{# no #}\nb\n  {#- x -#}  \nc{#+ y +#}\nd",
    "comment with tags": "a{# {{ n }} {% if %} #}b",
    "tab before block": "\t{% if t %}x{% endif %}",
    "text before block on line": "x {% if t %}\ny{% endif %}",
    "block after block": "{% if t %}  {% if t %}\n  x{% endif %}  {% endif %}y",
    "block starts template": "   {% if t %}x{% endif %}",
    "nbsp is stripped by minus": "a\u00a0{%- if t %}x{% endif %}",
    "raw": "{% raw %}{{ no }} {% if %}{% endraw %}|",
    "raw strips": "a {%- raw -%} \n {{ x }} \n {%- endraw -%} \n b",
    "raw trim": "{% raw %}\n x\n  {% endraw %}\ny",
    "braces in print": "{{ {'a': {'b': 1}}['a'] }}{{ {} }}",
    "percent brace in string": "{{ '%}' }}{{ '}}' }}{% set a = '%}' %}{{ a }}",
    "lone braces": "{ x } {a} } {",
    "if elif else": "{% for i in [0,1,2] %}{% if i == 0 %}a{% elif i == 1 %}b{% else %}c{% endif %}"
                    "{% endfor %}",
    "if tuple": "{% if 1, 2 %}yes{% endif %}",
    "for": "{% for i in l %}{{ i }},{% endfor %}",
    "for else": "{% for i in el %}x{% else %}empty{% endfor %}",
    "for else not run": "{% for i in l %}{{ i }}{% else %}empty{% endfor %}",
    "for if": "{% for i in l if i > 1 %}{{ loop.index }}:{{ i }}/{{ loop.length }} {% endfor %}",
    "for if else": "{% for i in l if i > 9 %}x{% else %}none{% endfor %}",
    "for unpack": "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "for unpack paren": "{% for (k, v) in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "for unpack wrong": "{% for a, b in [[1,2,3]] %}{{ a }}{% endfor %}",
    "for dict": "{% for k in d %}{{ k }}{% endfor %}",
    "for string": "{% for c in u %}[{{ c }}]{% endfor %}",
    "for undefined": "{% for c in missing %}x{% else %}none{% endfor %}",
    "for none": "{% for c in x %}x{% endfor %}",
    "for number": "{% for c in n %}x{% endfor %}",
    "for tuple": "{% for c in 1, 2, 3 %}{{ c }}{% endfor %}",
    "for ternary": "{% for c in (l if t else []) %}{{ c }}{% endfor %}",
    "loop vars": "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}"
                 "{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}"
                 "{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "loop prev next": "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} "
                      "{{ loop.previtem is defined }}{% endfor %}",
    "loop next attr": "{% for i in users %}{{ loop.nextitem.name if not loop.last }}{% endfor %}",
    "loop cycle": "{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "loop changed": "{% for i in [1,1,2] %}{{ loop.changed(i) }} {% endfor %}",
    "loop unknown": "{% for i in l %}{{ loop.zzz }}{% endfor %}",
    "nested loops": "{% for i in l %}{% set o = loop %}{% for j in l %}{{ o.index }}{{ loop.index }} "
                    "{% endfor %}{% endfor %}",
    "break": "{% for i in l %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}!",
    "continue": "{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}!",
    "break outside": "{% break %}",
    "generator once": "{% set g = l|map('string') %}{% for i in g %}{{ i }}{% endfor %}|"
                      "{% for i in g %}{{ i }}{% endfor %}|",
    "set": "{% set a = 1 %}{{ a }}",
    "set tuple": "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "set is tuple": "{% set a = 1, 2 %}{{ a }}",
    "set in loop is local": "{% set a = 1 %}{% for i in l %}{% set a = a + i %}{{ a }} {% endfor %}{{ a }}",
    "set in if is kept": "{% if t %}{% set a = 5 %}{% endif %}{{ a }}",
    "set block": "{% set a %}x{{ n }}y{% endset %}[{{ a }}]",
    "set block filter": "{% set a | upper | trim %} x{{ n }}y {% endset %}[{{ a }}]",
    "set block is a string": "{% set a %}12{% endset %}{{ a is string }}{{ a|length }}",
    "set block scope": "{% set b = 1 %}{% set a %}{% set b = 2 %}{{ b }}{% endset %}{{ a }}{{ b }}",
    "namespace": "{% set ns = namespace(a=0, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}"
                 "{% endfor %}{{ ns.a }}{{ ns.b }}",
    "namespace from dict": "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}",
    "namespace new field": "{% set ns = namespace() %}{% set ns.z = [1] %}{{ ns.z }}{{ ns.q is defined }}",
    "namespace block set": "{% set ns = namespace() %}{% set ns.z %}ab{% endset %}{{ ns.z }}",
    "namespace print": "{% set ns = namespace(a=1) %}{{ ns }}",
    "set field of dict": "{% set d2 = {} %}{% set d2.a = 1 %}",
    "macro": "{% macro m(a, b='d') %}<{{ a }}{{ b }}>{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(b=3, a=4) }}",
    "macro missing arg": "{% macro m(a) %}[{{ a }}{{ a is defined }}]{% endmacro %}{{ m() }}",
    "macro too many": "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "macro unknown kwarg": "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}",
    "macro default uses arg": "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}",
    "macro sees globals": "{% set g = 5 %}{% macro m() %}{{ g }}{{ n }}{% endmacro %}{{ m() }}",
    "macro sees later set": "{% macro m() %}{{ g }}{% endmacro %}{% set g = 6 %}{{ m() }}",
    "macro does not see loop": "{% macro m() %}{{ i }}{% endmacro %}{% for i in l %}{{ m() }}|{% endfor %}",
    "macro set is local": "{% set a = 1 %}{% macro m() %}{% set a = 2 %}{{ a }}{% endmacro %}{{ m() }}{{ a }}",
    "macro recursion": "{% macro m(i) %}{{ i }}{% if i > 0 %}{{ m(i - 1) }}{% endif %}{% endmacro %}{{ m(5) }}",
    "macro result is a string": "{% macro m() %}ab{% endmacro %}{{ m()|length }}{{ m() is string }}{{ 'x' + m() }}",
    "macro in macro": "{% macro a() %}{% macro b() %}x{% endmacro %}{{ b() }}{{ b() }}{% endmacro %}{{ a() }}",
    "macro before definition": "{{ m() }}{% macro m() %}x{% endmacro %}",
    "macro whitespace": "{%- macro m(x) -%}\n  {{ x }}\n{%- endmacro -%}\n{{ m('a') }}\n{{ m('b') }}",
    "macro updates namespace": "{% set ns = namespace(c=0) %}{% macro m() %}{% set ns.c = ns.c + 1 %}"
                               "{% endmacro %}{{ m() }}{{ m() }}{{ ns.c }}",
    "call block": "{% macro w(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}"
                  "{% call w('b') %}in{{ n }}{% endcall %}",
    "call block with args": "{% macro w() %}{{ caller(1, 2) }}{% endmacro %}"
                            "{% call(a, b) w() %}{{ a }}-{{ b }}{% endcall %}",
    "filter block": "{% filter upper %}abc{{ s }}{% endfilter %}",
    "filter block chain": "{% filter trim | replace('a', 'b') %}  aba  {% endfilter %}|",
    "with": "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "with sees outside": "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}",
    "generation": "a{% generation %}b{{ n }}{% endgeneration %}c",
    "generation trims": "a\n{% generation %}\nb\n{% endgeneration %}\nc",
    "unknown filter not reached": "{% if false %}{{ s|nosuch }}{% endif %}ok",
    "unclosed if": "{% if t %}x",
    "unclosed print": "{{ n ",
    "unclosed string": "{{ 'abc }}",
    "unclosed comment": "{# abc",
    "unclosed raw": "{% raw %}abc",
    "stray end": "{% endif %}",
    "unknown tag": "{% nosuch %}",
    "bad operator": "{{ 1 + }}",
    "bad bracket": "{{ (1 }}",
    "bracket mismatch": "{{ (1] }}",
    "empty print": "{{ }}",
    "two values": "{{ 1 2 }}",
    "assign to literal": "{% set 1 = 2 %}",
    "missing in": "{% for i l %}{% endfor %}",
    "plain after keyword": "{{ dict(a=1, 2) }}",
    "bad character": "{{ a ? b }}",
    "deep ifs": "{% if t %}" * 20 + "x" + "{% endif %}" * 20,
    "deep parens": "{{ " + "(" * 20 + "1" + ")" * 20 + " }}",
    "long chain": "{{ " + " + ".join(["1"] * 300) + " }}",
    "long concat": "{{ " + " ~ ".join(["'a'"] * 300) + " }}",
    "unicode names": "{% set größe = 3 %}{{ größe }}",
    "unicode data": "Ünïcödé 世界 🙂 {{ u }}",
    "dict literal in loop": "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}",
    "loop over items filter": "{% for k, v in d|items %}{{ k }}{% endfor %}",
    "string building": "{% set ns = namespace(s='') %}{% for i in range(5) %}{% set ns.s = ns.s + i|string %}"
                       "{% endfor %}{{ ns.s }}",
    "list building": "{% set ns = namespace(l=[]) %}{% for i in range(3) %}{% set ns.l = ns.l + [i * 2] %}"
                     "{% endfor %}{{ ns.l|tojson }}",
    "slice loop": "{% for i in l[1:] %}{{ loop.index0 }}{{ i }}{% endfor %}",
    "set loop variable": "{% for i in l %}{% set i = i * 2 %}{{ i }}{% endfor %}",
    "shadow outer": "{% set i = 'o' %}{% for i in l %}{{ i }}{% endfor %}{{ i }}",
    "loop after loop": "{% for i in l %}{{ loop.last }}{% endfor %}{{ loop is defined }}",
    "ternary print nothing": "a{{ 'x' if false }}b",
    "multi line tag": "{{-\n  n\n  + 1\n-}}\n{%\n if t\n%}x{% endif %}",
    "print tuple": "{{ 1, 'a' }}",
    "concat macros": "{% macro a() %}x{% endmacro %}{% macro b() %}y{% endmacro %}{{ a() ~ b() ~ a() }}",
    "filter on macro": "{% macro a() %} x {% endmacro %}[{{ a() | trim | upper }}]",
    "nested set blocks": "{% set a %}1{% set b %}2{% endset %}{{ b }}3{% endset %}{{ a }}",
    "break in nested": "{% for i in l %}{% for j in l %}{% if j == 1 %}{% break %}{% endif %}{{ j }}"
                       "{% endfor %}{{ i }} {% endfor %}",
    "is with filter": "{{ n|string is string }}{{ l|length is odd }}",
    "test then and": "{% if d is mapping and d.b is number %}ok{% endif %}",
    "not in tuple": "{% if s not in ('a', 'b') %}ok{% endif %}",
    "undefined attr in if": "{% if d.zz %}x{% else %}y{% endif %}",
    "undefined deep attr in if": "{% if missing.zz %}x{% endif %}",
    "message walk": "{% for m in messages %}{{ m.role }}:{{ m['content'] }}\n{% endfor %}",
}

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Look up the weather <now> & \"later\"",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "Ort, z. B. Köln"},
        "days": {"type": "integer", "minimum": 1, "enum": [1, 2, 3]},
        "units": {"type": "array", "items": {"type": "string"}}},
        "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time",
                                      "parameters": {"type": "object", "properties": {}}}}]

CALL = {"id": "call_0001a", "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}}

CHATS = {
    "user": [{"role": "user", "content": "Hello"}],
    "system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "turns": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"},
              {"role": "user", "content": "and 2+2?"}],
    "system turns": [{"role": "system", "content": "You are kind.\n"},
                     {"role": "user", "content": " a "}, {"role": "assistant", "content": " b\n"},
                     {"role": "user", "content": "c"}],
    "ends with assistant": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
    "unicode": [{"role": "user", "content": "Grüße 世界 🙂 \u200b\u00a0"}],
    "empty content": [{"role": "user", "content": ""}],
    "special": [{"role": "user", "content": "<|im_end|> {{ x }} {% if %} \\n \"q\" 'a' <b>&\x07"}],
    "think": [{"role": "user", "content": "q"},
              {"role": "assistant", "content": "<think>\nhm\n</think>\n\nanswer"},
              {"role": "user", "content": "more"}],
    "reasoning": [{"role": "user", "content": "q"},
                  {"role": "assistant", "content": "answer", "reasoning_content": "hm hm"},
                  {"role": "user", "content": "more"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "part one"},
                                           {"type": "text", "text": "part two"}]}],
    "tool turn": [{"role": "user", "content": "Weather?"},
                  {"role": "assistant", "content": "", "tool_calls": [CALL]},
                  {"role": "tool", "tool_call_id": "call_0001a", "name": "get_weather",
                   "content": "{\"temp\": 21}"},
                  {"role": "assistant", "content": "21 degrees"}],
    "tool turn null content": [{"role": "user", "content": "Weather?"},
                               {"role": "assistant", "content": None, "tool_calls": [CALL, dict(
                                   CALL, id="call_0002b")]},
                               {"role": "tool", "tool_call_id": "call_0001a", "content": "a"},
                               {"role": "tool", "tool_call_id": "call_0002b", "content": "b"}],
    "two users": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "odd role": [{"role": "narrator", "content": "a"}],
    "no messages": [],
}


def chat_cases(name, text):
    for chat, messages in CHATS.items():
        for tools in (None, TOOLS):
            for prompt in (False, True):
                label = f"{name}: {chat}{', tools' if tools else ''}{', prompt' if prompt else ''}"
                yield case(label, text, messages=messages, tools=tools,
                           add_generation_prompt=prompt)
    yield case(f"{name}: thinking off", text, messages=CHATS["user"], add_generation_prompt=True,
               enable_thinking=False)


def conformance():
    for line in EXPRESSIONS.replace("\\\n", "\0").split("\n"):
        expression = line.replace("\0", "\\\n")
        yield case(f"expression {expression}", "{{ " + expression + " }}", VARS)
    for name, text in BLOCKS.items():
        yield case(name, text, VARS, messages=CHATS["turns"])


def model_template(path):
    import gguf
    field = gguf.GGUFReader(path).fields.get("tokenizer.chat_template")
    return field.contents() if field else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--tree")
    parser.add_argument("-o", required=True)
    args = parser.parse_args()
    cases = []
    if args.tree:
        for path in sorted(pathlib.Path(args.tree).glob("*.jinja")):
            cases.extend(chat_cases(path.stem, path.read_text()))
    else:
        cases.extend(conformance())
        here = pathlib.Path(__file__).parent
        for path in sorted((here / "templates").glob("*.jinja")):
            cases.extend(chat_cases(path.stem, path.read_text()))
        for path in args.model:
            text = model_template(path)
            if text:
                cases.extend(chat_cases(pathlib.Path(path).stem, text))
    with open(args.o, "w") as out:
        out.write('{"vars": ' + json.dumps(VARS, ensure_ascii=False) + ',\n"cases": [\n')
        out.write(",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]}\n")
    errors = sum("error" in c for c in cases)
    print(f"{len(cases)} cases, {errors} of them errors")


if __name__ == "__main__":
    main()
