"""Small templates that visit each feature of chat templates' Jinja, and a maker of random ones."""

VARIABLES = {
    "n": 7, "f": 2.5, "s": "Hello, Wörld", "e": "", "t": True, "none_": None, "neg": -3,
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "ll": [[1, 2], [3], []],
    "d": {"b": 1, "a": "x", "C": None}, "big": 18446744073709551615,
    "users": [{"name": "Zoe", "age": 30, "tags": ["x"]}, {"name": "adam", "age": 25, "tags": []},
              {"name": "Bob", "age": 30}],
    "text": "one two  three\nfour\n\n five ", "quote": "it's \"q\" \\ \n\t\x01 é\u00a0\u2028 😀",
}
# What we refuse and Python doesn't, by our words: its integers have no end, nor its patience.
LIMITS = ["more than 64 bits", "isn't supported", "has no text", "beyond", "more than", "too many steps",
          "sliced so"]    # of constants alone: their optimiser looks slices up otherwise

EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2
7 // 2 ~ ' ' ~ -7 // 2 ~ ' ' ~ 7 % 3 ~ ' ' ~ -7 % 3 ~ ' ' ~ 7 % -3
7.5 // 2 ~ ' ' ~ -7.5 // 2 ~ ' ' ~ 7.5 % -2 ~ ' ' ~ -0.0 ~ ' ' ~ 5 % 2.5 ~ ' ' ~ -5 % 2.5
2 ** 10 ~ ' ' ~ 2 ** -1 ~ ' ' ~ 2 ** 3 ** 2 ~ ' ' ~ -2 ** 2 ~ ' ' ~ 2.0 ** 0.5 ~ ' ' ~ 0 ** 0
1 / 3
10 / 5
1e16 ~ ' ' ~ 1e15 ~ ' ' ~ 123456789012345678.0 ~ ' ' ~ 1e-4 ~ ' ' ~ 1e-5 ~ ' ' ~ 1.5e300 * 1e10
0.1 + 0.2
1_000 + 0x1F + 0b101 + 0o17
1_0.5_0e1_0
100 * 1.1
3.0
-f
+n
--n
not n
1 / 0
1 % 0
1.0 // 0
'a' + 1
1 + 'a'
'a' * 3
3 * 'ab'
'a' * -1
[1, 2] * 2
[1] + [2]
(1, 2) + (3,)
[1] + (2,)
'a' ~ 1 ~ none ~ true ~ 2.0 ~ [1, 'x'] ~ {'k': 'v'}
true + true
true ~ false ~ none
1 == 1.0
1 == true
'a' < 'b'
[1, 2] < [1, 3]
(1, 2) < (1, 2, 3)
'a' < 1
none < 1
1 < 2 < 3
1 < 2 > 3
3 > 2 >= 2 == 2 != 3
1 in [1, 2]
4 not in [1, 2]
'ell' in s
1 in 'abc'
'a' in d
'z' not in d
1 in none
undefined_ in [1]
none in [none]
n is defined
nope is defined
nope is not defined
nope is undefined
n is number and n is odd and not n is even
n is divisibleby 7
n is divisibleby(2)
s is string
d is mapping
l is sequence
d is sequence
l is iterable
n is iterable
nope is iterable
nope is sequence
n is sequence
none is none
n is none
t is boolean
t is true
t is false
n is integer
f is float
n is float
t is integer
t is number
big is integer
big
big == 18446744073709551615
'abc' is lower
'ABC' is upper
'' is lower
s is eq(s)
n is sameas n
none is sameas none
n is eq 7
n is ne 8
n is gt 3
n is lessthan 3
n is ge 7
n is le 7
n is equalto 7
n is in [7]
n is in(l)
'upper' is filter
'nope' is filter
'odd' is test
range is callable
n is callable
'x' is escaped
n is nope
n | nope
n if t else 'x'
'a' if false
('a' if false) is defined
'a' if false else 'b' if false else 'c'
nope
nope.x
nope['x']
nope()
nope + 1
nope ~ 'x'
nope == nope
nope == none
nope or 'dflt'
nope and 1
[nope]
{'a': nope}
nope | length
nope | upper
nope | default('d')
nope | d('d')
e | default('d')
e | default('d', true)
none_ | default('d')
none_ | default('d', boolean=true)
e or n
n and s
n and e
0 or none
l[0] ~ l[-1] ~ l[1]
l[5]
l[-4]
l[5] is defined
l['0']
l[0.0]
l[true]
l.0
ll[0][1]
ll.0.1
d.a ~ d['a'] ~ d.get('a') ~ d.get('zz') ~ d.get('zz', 9)
d.zz
d.zz is defined
d['items'] is callable
d.items() | list
d.keys() | list
d.values() | list
d.keys()
d.values()
d.items()
d | list
d | length
d.items() | length
d.copy()
d.pop('a')
d.update({})
d.clear is defined
d.append is defined
l.append(1)
l.append is defined
l.index(1)
l.index(9)
l.count(1)
l.copy()
(1, 2, 2).count(2)
(1, 2).index(2)
s[0] ~ s[-1] ~ s[7]
s[99]
s[1:3] ~ s[:3] ~ s[-3:] ~ s[::2] ~ s[::-1] ~ s[5:1:-1] ~ s[1:100] ~ s[-100:2]
l[1:] ~ l[:-1] ~ l[::-1] ~ l[::2] ~ l[5:] ~ l[2:0:-1]
(1, 2, 3)[1:]
range(5)[1:3]
range(10)[2]
range(10)[-1]
s[1:2, 3]
n[1:2]
l[::0]
none_[1:]
s['upper']()
s.upper() ~ s.lower() ~ s.title() ~ s.capitalize() ~ s.swapcase()
'ß'.upper() ~ 'ǆ'.title() ~ 'ΑΣ'.lower() ~ 'ΑΣΑ'.lower() ~ 'İ'.lower() ~ 'ŉ'.upper() ~ 'ﬁ'.capitalize()
'ß'.casefold() ~ 'ΣΑΣ'.casefold()
"they're bill's".title()
'hello world-foo'.title() ~ '|' ~ 'hello world-foo (bar) [x] {y} <z>' | title
"they're" | title
'  x '.strip() ~ '|' ~ '  x '.lstrip() ~ '|' ~ '  x '.rstrip() ~ '|'
'xxaxx'.strip('x') ~ 'abcab'.strip('ab') ~ 'äxä'.strip('ä')
'\u00a0x\u2003'.strip() ~ '|'
'a,b,,c'.split(',')
' a  b '.split()
' a  b c '.split(none, 1)
'a,b,c'.split(',', 1)
'a,b,c'.split(',', maxsplit=1)
'a,b,c'.split(sep=',')
'a,b,c'.rsplit(',', 1)
' a b  c '.rsplit(none, 1)
' a b  c '.rsplit()
'abc'.split('')
''.split()
''.split(',')
'a\nb\r\nc\x0bd\u2028e'.splitlines()
'a\n\nb\n'.splitlines()
'a\n\nb\n'.splitlines(true)
'a\r'.splitlines(keepends=true)
'a-b-c'.partition('-')
'a-b-c'.rpartition('-')
'abc'.partition('-')
'abc'.rpartition('-')
','.join(['a', 'b'])
','.join('abc')
','.join([1])
','.join(d)
'abcabc'.replace('b', 'X') ~ 'abcabc'.replace('b', 'X', 1) ~ 'abc'.replace('', '-') ~ 'äb'.replace('', '-', 2) ~ ''.replace('', 'x')
'abcabc'.find('c') ~ 'abcabc'.rfind('c') ~ 'abc'.find('z') ~ 'äbc'.find('c') ~ 'abc'.find('b', 2) ~ 'äbcb'.find('b', 2) ~ 'abc'.find('', 3) ~ 'abc'.find('', 4)
'abc'.index('c')
'abc'.index('z')
'abc'.rindex('a')
'ababab'.count('ab') ~ 'aaa'.count('aa') ~ 'abc'.count('') ~ 'abcb'.count('b', 2)
'abc'.startswith('ab') ~ 'abc'.startswith(('x', 'a')) ~ 'abc'.startswith('b', 1) ~ 'abc'.endswith('c') ~ 'abc'.endswith(('z', 'bc')) ~ 'abc'.endswith('b', 0, 2) ~ 'abc'.startswith('')
'abc'.startswith(1)
'abc'.startswith(['a'])
'abc'.removeprefix('a') ~ 'abc'.removesuffix('c') ~ 'abc'.removeprefix('x')
'12'.isdigit() ~ '²'.isdigit() ~ '²'.isdecimal() ~ '½'.isnumeric() ~ 'ab'.isalpha() ~ 'a1'.isalnum() ~ ' '.isspace() ~ ''.isspace() ~ 'aB'.islower() ~ 'AB1'.isupper() ~ 'Ab Cd'.istitle() ~ 'a'.isascii() ~ 'ä'.isascii() ~ ''.isprintable() ~ 'a_1'.isidentifier() ~ '1a'.isidentifier()
'x'.center(5) ~ '|' ~ 'x'.center(4, '*') ~ 'ab'.center(5, '-') ~ 'x'.ljust(3) ~ '|' ~ 'x'.rjust(3, '0') ~ '-5'.zfill(4) ~ '5'.zfill(3) ~ '+5'.zfill(4)
'a\tb'.expandtabs() ~ 'a\tb'.expandtabs(4)
'x'.center(5, 'ab')
'{} {}'.format(1, 'a') ~ '{1} {0}'.format('a', 'b') ~ '{x}'.format(x=1) ~ '{{}}'.format()
'{:>5}|{:<5}|{:^5}|{:*^5}|{:5}|{:5}'.format('a', 'b', 'c', 'd', 'e', 1)
'{:05d} {:+d} {: d} {:,} {:_} {:x} {:X} {:#x} {:b} {:o} {:c}'.format(42, 42, 42, 1234567, 1234567, 255, 255, 255, 5, 8, 65)
'{:.2f} {:8.3f} {:e} {:g} {:%} {:.1%} {:G}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.25, 0.256, 1e20)
'{:.3} {:.0f} {:,.2f} {:08.2f} {:+.1e}'.format('abcdef', 2.5, 1234567.891, -3.14159, 12345.0)
'{0.a} {0[b]} {1[0]}'.format(d, l)
'{!r} {!s} {!a}'.format('a', 'b', 'ä')
'{:{}}'.format('x', 5) ~ '|'
'{:>{w}}'.format('x', w=4)
'{} {2}'.format(1, 2, 3)
'{'.format()
'}'.format()
'{5}'.format(1)
'{:d}'.format('x')
'{:d}'.format(1.5)
'{} {} {}'.format(none, true, 1.0)
'{:5}|'.format(true)
'{:5}|'.format(none)
'{:.3}|{:10.4}|{:.1}'.format(3.14159, 2.0, 100.0)
'{a}'.format_map({'a': 1})
'%s and %s' % ('a', 1)
'%d %i %05d %+d %x %X %o %#x' % (1, 2, 3, 4, 255, 255, 8, 255)
'%.2f %8.3f %e %g %-8s| %8s|' % (3.14159, 2.5, 12345.678, 0.0001, 'a', 'b')
'%(a)s %(b)d' % {'a': 'x', 'b': 2}
'%%' % ()
'%s' % 'x'
'%s' % (1, 2)
'%s %s' % 'x'
'%d' % 'x'
'%s' % [1, 2]
'%r %a' % ('ä', 'ä')
'%c%c' % (65, 'B')
'%5.1s|' % 'abc'
'%s' % none
'x' % 1
'%s' % d
'%d' % 3.99
'%5s|%-5d|%05.1f' | format('a', 2, 3.14159)
'%(x)s' | format(x=1)
'%s %s' | format('a', 'b')
l | join
l | join(', ')
l | join(d='-')
users | join(', ', attribute='name')
users | map(attribute='name') | list
users | map(attribute='zz', default='q') | list
users | map(attribute='zz') | list
users | map(attribute='tags.0', default='-') | join(',')
ls | map('upper') | join(',')
ls | map('replace', 'a', 'z') | list
ls | map('nope') | list
[] | map('nope') | list
ls | map
l | map('string') | join
l | select | list
[0, 1, none, 'a', ''] | select | list
l | select('odd') | list
l | select('gt', 1) | list
l | select('divisibleby', 2) | list
l | reject('odd') | list
l | reject | list
l | select('nope') | list
users | selectattr('age', 'eq', 30) | map(attribute='name') | list
users | selectattr('tags') | list | length
users | selectattr('tags', 'defined') | list | length
users | rejectattr('tags', 'defined') | list | length
users | rejectattr('name', 'equalto', 'Bob') | map(attribute='name') | join
users | selectattr
l | sort
ls | sort
ls | sort(case_sensitive=true)
ls | sort(reverse=true)
users | sort(attribute='name') | map(attribute='name') | list
users | sort(attribute='age,name') | map(attribute='name') | list
users | sort(attribute='age', reverse=true) | map(attribute='name') | list
[1, 'a'] | sort
d | dictsort
{'b': 1, 'A': 2} | dictsort
{'b': 1, 'A': 2} | dictsort(true)
{'b': 1, 'A': 2} | dictsort(by='value')
{'b': 1, 'A': 2} | dictsort(reverse=true)
l | dictsort
ls | unique | list
['a', 'A', 'b'] | unique | list
['a', 'A', 'b'] | unique(case_sensitive=true) | list
users | unique(attribute='age') | map(attribute='name') | list
[[1], [1]] | unique | list
l | min ~ l | max ~ ls | min ~ ls | max
[] | min
[] | first
[] | last
l | first ~ l | last ~ s | first ~ s | last ~ d | first
n | first
none | last
l | length ~ s | length ~ s | count
n | length
l | map('string') | length
l | sum
users | sum(attribute='age')
l | sum(start=10)
['a'] | sum
[[1], [2]] | sum(start=[])
l | reverse | list
s | reverse
l | reverse | length
(x for x in l)
users | groupby('age') | map('first') | list
users | groupby('age') | list | length
(users | groupby('age'))[0].grouper
(users | groupby('age'))[1].list | length
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3, 4, 5] | batch(2, 'x') | list
[1, 2, 3, 4, 5] | slice(2) | list
[1, 2, 3, 4, 5] | slice(3, 'x') | list
d | items | list
nope | items | list
n | items | list
s | list
d | list
n | list
range(3) | list
range(1, 4) | list
range(5, 0, -2) | list
range(3)
range(0, 10, 3)
range(5, 2)
range(1000000)
range('a')
range(1.5)
range()
range(1, 2, 0)
s | upper ~ s | lower ~ s | capitalize ~ s | title
n | upper
'  x ' | trim ~ '|' ~ 'xax' | trim('x')
n | trim
'a b' | replace('a', 'x') ~ 'aaa' | replace('a', 'b', 2) ~ 123 | replace(2, 'x')
text | indent
text | indent(2)
text | indent(2, true)
text | indent(2, true, true)
text | indent(width='>> ')
text | indent(first=true)
'' | indent
n | indent
'foo bar baz qux' | truncate(9)
'foo bar baz qux' | truncate(9, true)
'foo bar baz qux' | truncate(11)
'foo bar baz qux' | truncate(11, false, '...', 0)
'foo bar baz qux' | truncate(2)
'foo' | wordcount ~ text | wordcount ~ '' | wordcount ~ 'a-b_c é' | wordcount
'x' | center(5) ~ '|'
'42' | int ~ '4_2' | int ~ ' 42 ' | int ~ '0x1f' | int(0, 16) ~ '1f' | int(base=16) ~ 'x' | int ~ 'x' | int(5) ~ '3.9' | int ~ 3.9 | int ~ -3.9 | int ~ none | int ~ true | int ~ '1e3' | int ~ '0b11' | int(0, 2) ~ '0o17' | int(0, 0)
nope | int
'3.5' | float ~ 'x' | float ~ 'x' | float(1.5) ~ 3 | float ~ '1e3' | float ~ ' 2.5 ' | float ~ 'inf' | float ~ 'nan' | float ~ '-Infinity' | float ~ '1_0.5' | float ~ none | float
nope | float
-5 | abs ~ 5 | abs ~ -2.5 | abs
(-5) | abs
'x' | abs
42.55 | round ~ ' ' ~ 42.55 | round(1) ~ ' ' ~ 2.5 | round ~ ' ' ~ 3.5 | round ~ ' ' ~ 42.55 | round(1, 'floor') ~ ' ' ~ 42.51 | round(1, 'ceil') ~ ' ' ~ 3 | round ~ ' ' ~ 1234 | round(-2) ~ ' ' ~ 1250 | round(-2) ~ ' ' ~ 1234.5 | round(-2) ~ ' ' ~ 2.675 | round(2) ~ ' ' ~ 42 | round(1, 'ceil')
42.55 | round(1, 'nope')
42.55 | round | int
123 | string ~ none | string
s | safe
'<a>&"\'' | e
'<a>&"\'' | escape | escape
'<a>' | forceescape
('<a>' | safe) + '<b>'
'<b>' + ('<a>' | safe)
'<b>' ~ ('<a>' | safe)
['<a>' | safe] | join('<')
1000 | filesizeformat ~ 1 | filesizeformat ~ 999 | filesizeformat ~ 123456789 | filesizeformat ~ 123456789 | filesizeformat(true) ~ 0 | filesizeformat
'a b/c?é&' | urlencode
{'a b': 'c/d', 'e': 1} | urlencode
[('x', 'y z')] | urlencode
d | attr('items') is callable
d | attr('a')
s | attr('upper') is callable
nope | attr('x')
d | tojson
l | tojson
s | tojson
quote | tojson
quote | tojson(ensure_ascii=true)
d | tojson(indent=2)
users | tojson(indent=4)
[] | tojson(indent=2) ~ {} | tojson(indent=2) ~ [[], {}] | tojson(indent=1)
d | tojson(sort_keys=true)
d | tojson(separators=(',', ':'))
d | tojson(indent=2, separators=(',', ': '))
d | tojson(indent='\t')
{1: 2, 1.5: 3, none: 4, true: 5} | tojson
{(1, 2): 3} | tojson
(1, 2) | tojson
1.0 | tojson ~ 1e22 | tojson ~ 0.1 | tojson ~ true | tojson ~ none | tojson ~ big | tojson
nope | tojson
[nope] | tojson
range(3) | tojson
l | map('string') | tojson
namespace(a=1) | tojson
'\u007f\u2028<>&\'' | tojson
'\u007f' | tojson(ensure_ascii=true)
'a"b' | tojson ~ "a'b" | tojson
{'z': 1, 'a': {'y': [1, {'b': 2}]}} | tojson(indent=2)
[quote]
[quote, "a'b", 'a"b', "a'b\"c"]
['ä', '😀', '\u200b', '\x7f', '\xa0', '\x80', '\u0378']
{'a': [1, (2,), (3, 4), {}], 1: none, 1.5: true, none: 1e100}
[1.0, -0.0, 1e-7, 1.5e16, 12345678.9]
()
(1,)
[]
{}
[[]]
namespace(a=1, b='x')
namespace(d).b
namespace({'q': 2}, r=3).q
namespace(_x=1)
dict(a=1, b=2)
dict([('a', 1)], b=2)
dict(d)
dict(d, zz=1).zz
dict(1)
{'a': 1, 'a': 2}
{1: 'a', true: 'b', 1.0: 'c'}
{[1]: 2}
{(1, 2): 3}[(1, 2)]
d[[1]]
joiner()
(joiner('|'))()
cycler(1, 2).next()
cycler()
'a' 'b' "c"
'\x41\u00e9\U0001F600\101\n\t\\\'\"\a\q'
"\é"
'line\
cont'
'\N{BULLET}'
'\u12'
'\xZZ'
raise_exception('boom')
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %p %-d %% %y %f|%z|%Z')
strftime_now('')
loop
caller()
varargs
''.__class__
''.__class__.__mro__
s._private
d.__len__
s.nope
s.nope()
n.real ~ n.imag ~ f.is_integer() ~ n.bit_length()
none_.x
none_.x.y
true.x
l.0.1
1.real
1 .real
x.y.z
lipsum
{{}}
'a' is string is string
a b
1 +
(1
[1, 2
{'a' 1}
'unclosed
1 ? 2
a $ b
“x”
é
été is defined
n == 7 and s == 'x' or t
not n == 7
not not n
n + - 1
n - -1
n-1
n -1
'x' if n > 5 and f < 3 else 'y'
l|length > 2
l|length + 1
-l|length
(-1)|abs
1 if nope else 2
'%s' % (1 if t else 2)
[1, 2,]
(1, 2,)
{'a': 1,}
range(3,)|list
dict(**{'a': 1})
range(*[1, 3]) | list
range(*l[1:])|list
dict(a=1, a=2)
dict(a=1, **{'a': 2})
s.split(*[','])
s.upper(1)
s.nope is defined
s['upper'] is defined
'a' in s.split(',')
"a" ~ "b" * 2 + "c"
1 ~ 2 * 3 ~ 4
1 ~ 2 + 3
true and false or true
nope is defined and nope.x
nope is none
(nope is none) or (nope is undefined)
'a' == 'a' == 'a'
[1, [2, [3]]] == [1, [2, [3]]]
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
(1, 2) == [1, 2]
1 in {1: 2}
1.0 in [1]
'b' in d.keys()
1 in d.values()
('b', 1) in d.items()
2 in range(5)
2 in (l | map('int'))
5 in range(0, 10, 2)
'' in 'abc'
9007199254740993 == 9007199254740992.0
9007199254740993 > 9007199254740992.0
1e400
-1e400
1e400 - 1e400
10000000000 * 10000000000 > 1
9223372036854775807
0 == -0
0.1 + 0.7
1e2
123.456e-10
.5
5.
0777
00
1__0
3 is divisibleby 2
3 is not divisibleby 2
3 is odd is string
l is defined
l is not none and l
'a' is in 'abc'
'z' is not in 'abc'
3 is in [1, 2, 3] and true
d.a.upper()
d.get('a').upper()
users[0].name
users[0]['name'][0]
users[-1].get('tags', [])
users[9].name
(users | first).name
(users | map(attribute='name') | list)[0]
users | map(attribute='name') | first
users | map(attribute='name') | last
users | map(attribute='name') | reverse | list
s.split(', ')[1]
s.split(', ')[-1].upper() | lower
text.split('\n') | map('trim') | reject('equalto', '') | join('|')
text.strip().split('\n')[-1].strip()
'<think>a</think>b'.split('</think>')[-1].lstrip('\n')
'<think>a</think>b'.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n')
"'" ~ '"' ~ '\''
'a\\b'
'tab\there'
""" .strip("\n").split("\n")

TEMPLATES = [
    "a\n", "a\n\n", "\n", "", "a\r\nb\rc\n", "{{ 1 }}\n", "{{ 1 }}\n\n", "{% if 1 %}\nx\n{% endif %}\n",
    "  {% if 1 %}  \n  x\n  {% endif %}  \n y", "a {% if 1 %} b {% endif %} c",
    "a {%- if 1 -%} b {%- endif -%} c", "a\n  {%+ if 1 %}\nb\n  {%+ endif %}\nc",
    "a\n  {% if 1 +%}\nb\n  {% endif +%}\nc", "a\n\t {{- 1 -}} \n b", "a\n {{ 1 }}\n b", "x\n {{+ 1 }} y",
    "{# comment #}x", "a {#- c -#} b", "a\n  {# c #}\nb", "a\n {#+ c +#}\nb", "{# unclosed", "{#}x", "{##}x",
    "{# a #} b #} c", "  {# c #}  \nb", "{{ '#}' }}{# #}", "{% raw %}{{ x }}{% endraw %}",
    "{% raw %}\n {{ x }} {% if %}\n{% endraw %}\nb", "a {%- raw -%} \n x \n {%- endraw -%} \n b",
    "{% raw %}x", "{% raw +%}x{% endraw %}", "a\n  {% raw %}\n  x\n  {% endraw %}\n b", "{%raw%}{%endraw%}x",
    "{% raw %}{% raw %}{% endraw %}", "{%+ raw %} x {%+ endraw +%}\ny",
    "{{ '{{' }}", "{{ '}}' }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {}} }}", "{{{'a': 1}}}", "{{ {}}}",
    "{% for x in [1, 2] %}{{ x }}{% endfor %}", "{% for x in [] %}a{% else %}b{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1,1,2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in l %}{{ loop.nope }}{{ loop['index'] }}{{ loop }}{% endfor %}", "{{ loop.index }}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}", "{% for c in s %}{{ c }}.{% endfor %}", "{% for x in none %}{% endfor %}",
    "{% for x in nope %}a{% else %}b{% endfor %}", "{% for x in 5 %}{% endfor %}",
    "{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }},{% endfor %}", "{% for a, b in [1] %}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in ['xy'] %}{{ a }}{{ b }}{% endfor %}", "{% for x in l if x > 1 %}{{ x }}{{ loop.length }}{{ loop.last }}{% else %}e{% endfor %}",
    "{% for x in l if x > 9 %}{{ x }}{% else %}e{% endfor %}", "{% for x in l if loop.index > 1 %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% continue %}{% else %}E{% endfor %}", "{% for x in l %}{% break %}{% else %}E{% endfor %}",
    "{% for x in l %}{{ x }}{% if loop.last %}{% break %}{% endif %}{% else %}E{% endfor %}",
    "{% break %}", "{% continue %}", "{% for x in l %}{% else %}{% break %}{% endfor %}",
    "{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in l %}{% set y %}{{ x }}{% if x == 1 %}{% break %}{% endif %}{% endset %}{{ y }}{% endfor %}",
    "{% for x in l %}{% filter upper %}a{% if x == 1 %}{% continue %}{% endif %}{% endfilter %}{% endfor %}",
    "{% for x in l %}{% generation %}{% if x == 1 %}{% break %}{% endif %}{% endgeneration %}{% endfor %}",
    "{% for x in ll recursive %}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}",
    "{% for x in l %}{{ loop(l) }}{% endfor %}", "{% for x in l recursive %}{{ loop() }}{% endfor %}",
    "{% for x in x %}{{ x }}{% endfor %}", "{% for x in [[1],[2]] %}{% for x in x %}{{ x }}{% endfor %}{{ x }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for x in l %}{% for y in ls %}{{ y }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for x in l %}{% set outer = loop %}{% for y in ls %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for loop in l %}{% endfor %}", "{% for x in l %}{% set loop = 1 %}{% endfor %}", "{% set loop = 1 %}{{ loop }}",
    "{% for x in l|map('string') %}{{ loop.length }}{{ loop.last }}{% endfor %}",
    "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{% set g = l|select %}{% for x in g %}{{ x }}{% break %}{% endfor %}{{ g|list }}",
    "{% set g = l|map('int') %}{{ 1 in g }}{{ g|list }}", "{% set g = l|map('int') %}{{ g|first }}{{ g|list }}",
    "{% set g = []|map('int') %}{% if g %}T{% else %}F{% endif %}", "{% for x in range(3) %}{{ x }}{% endfor %}",
    "{% set x = 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set (x, y) = (1, 2) %}{{ x }}{{ y }}",
    "{% set x, y = 1 %}", "{% set x = 1, 2 %}{{ x }}", "{% set x %}a{{ 1 }}b{% endset %}{{ x }}{{ x|length }}",
    "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}abc{% endset %}{{ x }}",
    "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}{{ ns['a'] }}{{ ns.b }}{{ ns.b is defined }}",
    "{% set ns = namespace() %}{% set ns.x %}block{% endset %}{{ ns.x }}", "{% set d.x = 1 %}", "{% set nope.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}", "{% set ns = namespace(n=0) %}{% for x in l %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace(f=false) %}{% for x in l if not ns.f %}{{ x }}{% set ns.f = true %}{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "{% if false %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for i in l %}{% if loop.first %}{% set x = 5 %}{% endif %}{{ x }},{% endfor %}{{ x }}",
    "{% set x = x + 1 %}", "{% set n = n + 1 %}{{ n }}", "{% set 1 = 2 %}", "{% set a.b.c = 2 %}", "{% set [a] = [1] %}",
    "{% set x = 1 if false %}{{ x is defined }}", "{% set true = 1 %}", "{% set x == 1 %}", "{% set %}", "{% set x %}",
    "{% if n > 5 %}a{% elif n > 3 %}b{% else %}c{% endif %}", "{% if false %}a{% elif false %}b{% elif true %}c{% else %}d{% endif %}",
    "{% if n %}", "{% if n %}{% endfor %}", "{% endif %}", "{% if %}x{% endif %}", "{% if n %}a{% else %}b{% else %}c{% endif %}",
    "{% if n: %}x{% endif %}", "{% if n == 7 %}\n  a\n{% endif %}\nb", "{% nope %}", "{% %}", "{%%}", "{{}}", "{{ }}", "{% if a if b else c %}{% endif %}",
    "{% if nope %}{{ 1|nosuch }}{% endif %}ok", "{% if n %}{{ 1|nosuch }}{% endif %}", "{% if nope %}{{ 1 is nosuch }}{% endif %}ok",
    "{% if nope %}{% for x in l %}{{ 1|nosuch }}{% endfor %}{% endif %}ok", "{{ (1|nosuch) if false else 2 }}", "{{ 1|nosuch }}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=5) }}{{ m(b=1) }}{{ m(1, b=4) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(c=2) }}",
    "{% macro m(a, a) %}{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}hi{% endcall %}",
    "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}hi{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ m() }}|{% call m() %}y{% endcall %}",
    "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(3) }}", "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}\n  a\n{% endmacro %}\n[{{ m() }}]", "{% macro m() -%}\n  a\n{%- endmacro %}\n[{{ m() }}]", "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "{% macro m() %}{% set n = 9 %}{{ n }}{% endmacro %}{{ m() }}{{ n }}",
    "{% macro m(a) %}{{ a|upper }}{% endmacro %}{{ m('x') ~ m('y') }}{{ m('x')|length }}{{ m is callable }}{{ m.name }}{{ m.arguments }}{{ m }}",
    "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m(a) %}{{ a }}{% endmacro %}{% for i in l %}{{ m(i) }}{% endfor %}",
    "{% macro m() %}{{ l }}{{ loop }}{% endmacro %}{% for i in l %}{{ m() }}{% endfor %}", "{% call 1 %}{% endcall %}", "{% call m %}{% endcall %}",
    "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner }}",
    "{% macro m(caller=1) %}{{ caller }}{% endmacro %}{{ m() }}", "{% macro m(caller) %}{{ caller }}{% endmacro %}", "{% macro m(kwargs=1) %}{{ kwargs }}{% endmacro %}{{ m() }}",
    "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}abc{% endfilter %}", "{% filter nosuch %}x{% endfilter %}",
    "{% filter indent(2, true) %}\na\nb\n{% endfilter %}", "{% filter upper %}{% set n = 1 %}{% endfilter %}{{ n }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "{% with a = n, n = 1 %}{{ a }}{{ n }}{% endwith %}{{ n }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
    "{% with a, b = (1, 2) %}{{ a }}{{ b }}{% endwith %}", "{% with n = n + 1 %}{{ n }}{% endwith %}",
    "{% block x %}a{{ n }}{% endblock %}b", "{% block x %}a{% endblock x %}", "{% set q = 1 %}{% block x %}{{ q }}{% endblock %}",
    "{% for i in l %}{% block x %}{{ i }}{% endblock %}{% endfor %}", "{% for i in l %}{% block x scoped %}{{ i }}{% endblock %}{% endfor %}",
    "{% block a-b %}{% endblock %}", "{% include 'x' %}", "{% if nope %}{% include 'x' %}{% endif %}ok", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}",
    "{% print 1, 'a' %}", "{% print n %}", "{% do l.append(1) %}", "{% autoescape false %}<{{ '<' }}{% endautoescape %}",
    "{% generation %}a{{ n }}{% set n = 1 %}{% endgeneration %}{{ n }}", "{% for x in l %}{% generation %}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "a{%- generation -%} b {%- endgeneration -%} c", "{% generation %}x", "x {{- ' y ' -}} z", "{{ 1 -}}\n\n x", "{{ 1 }}\n{{- 2 }}", "{%- if 1 %} a{% endif -%}   ",
    "   {%- set x = 1 %}\n   {{ x }}", "   {% set x = 1 %}\n   {{ x }}\n", "{% set x = 1 -%}\n\n  {{ x }}", "\ufeffx{{ 1 }}", "a\u00a0{%- if 1 %}b{% endif %}", "a\u2028 {% if 1 %}b{% endif %}",
    "a\n\u00a0{% if 1 %}b{% endif %}", "{% if 1 %}{{ 1 }} {% endif %} \n {% if 1 %} {% endif %}", "{{ n }}{{ f }}{{ s }}{{ e }}{{ t }}{{ none_ }}{{ l }}{{ d }}",
    "{{ [1, 2, 3][1:] }}{{ 'abc'[::-1] }}", "{{ (1, 2)|length }}", "{{ 'x' }}{# {{ 'y' }} #}{{ 'z' }}", "{{ '{% if %}' }}", "{{ \"it's\" }}", "{{ n\n+\n1 }}", "{%\nset\nx\n=\n1\n%}{{ x }}",
    "{{ n }", "{{ n", "{% if n", "{{ 'a }}", "}} %} #}", "{ { n } }", "{{ n } }", "{{ (n }}", "{{ n) }}", "{{ [n) }}", "{{ {n] }}", "{% if (n %}x{% endif %}", "{{ n; }}", "{{ n, s }}", "{{ n, }}", "{{ , }}", "{{ n s }}", "{{ 'a' 'b' }}",
    "{{ self.x() }}", "{{ super() }}", "{{ n.__class__ }}", "{{ l.__len__() }}", "{% set x = joiner(', ') %}{% for i in l %}{{ x() }}{{ i }}{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}",
    "{% for u in users %}{{ u.name }}{% if u.tags is defined and u.tags %}*{% endif %}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{%- for u in users|groupby('age') %}\n{{ u.grouper }}: {{ u.list|map(attribute='name')|join(',') }}\n{%- endfor %}",
    "{%- for age, us in users|groupby('age') %}{{ age }}{{ us|length }}{% endfor %}", "{{ (users|groupby('age'))[0] | length }}",
    "{% for b in [1,2,3,4,5]|batch(2) %}{{ b }}{% endfor %}", "{% for b in [1,2,3,4,5]|slice(2) %}{{ b }}{% endfor %}", "{{ users|sort(attribute='tags.0') }}",
    "{% if 'a' in d and d.a == 'x' %}y{% endif %}", "{% if d['zz'] is not defined %}y{% endif %}", "{% if d.zz is not none %}y{% endif %}", "{% if (d.zz or 1) == 1 %}y{% endif %}",
    "{{ raise_exception('x') if false else 'ok' }}", "{% if n == 7 %}{{ raise_exception('no') }}{% endif %}", "{{ raise_exception() }}", "{{ raise_exception(1) }}",
    "{{ nope.x if nope else 'n' }}", "{{ (nope|default({})).x }}", "{{ nope|default(d).a }}", "{{ 1.5|int + '2'|int }}", "{{ '1' + 2|string }}", "{{ l|length|string + 'x' }}",
    "{{ 'a'|upper ~ 'b'|upper + 'c' }}", "{{ [l|first, l|last] }}", "{{ -n|abs }}", "{{ n|string|length }}", "{{ s.split(',')|map('trim')|list }}", "{{ d|tojson|length }}",
    "{{ users | tojson(indent=2) | replace('\"', \"'\") }}", "{{ '%.3f'|format(f) }}", "{{ {'a': 1}|tojson ~ [1]|tojson }}", "{{ x.y is defined }}", "{{ d.x.y is defined }}", "{{ d.x.y|default('z') }}",
    "{% for m in users %}{% set role = m.name %}{% set x = role + '!' %}{{ x }}{% endfor %}{{ role }}", "{% set x = [] %}{% for i in l %}{% set x = x + [i] %}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=[]) %}{% for i in l %}{% set ns.x = ns.x + [i * 2] %}{% endfor %}{{ ns.x|join(',') }}", "{% set ns = namespace(a=1) %}{% for k, v in ns.items() %}{% endfor %}",
    "{% set a = 1 %}{% set b = a %}{% set a = 2 %}{{ a }}{{ b }}", "{{ '\\n' }}x{{ '\\t' }}", "{{ 'a\nb' }}", "{{ \"a\r\nb\" }}", "{% if true %}x{% endif %}\n\n\ny", "{{ 1 if 1 }}{{ 1 if 0 }}",
    "{% for i in l %}{{ s }}{% endfor %}{% set s = 1 %}{{ s }}", "{{ s }}{% for i in l %}{{ s }}{% endfor %}{% set s = 1 %}",
    "{% for i in l %}{{ s }}{% endfor %}{% if t %}{% set s = 1 %}{% endif %}{{ s }}", "{% macro m() %}{{ s }}{% endmacro %}{{ m() }}{% set s = 1 %}{{ m() }}",
    "{% for i in l %}{% for k in l %}{{ s }}{% endfor %}{% set s = 2 %}{{ s }}{% endfor %}{{ s }}", "{% set x %}{{ s }}{% endset %}{{ x }}{% set s = 3 %}",
    "{% filter upper %}{{ s }}{% endfilter %}{% set s = 3 %}", "{% with a = s %}{{ s }}{% endwith %}{% set s = 3 %}", "{% generation %}{{ s }}{% endgeneration %}{% set s = 3 %}",
    "{% for i in l %}{% if loop.first %}{{ s }}{% for z in l %}{{ s }}{% endfor %}{% set s = 2 %}{% endif %}{{ s }}{% endfor %}",
    "{% for i in l %}{{ s }}{% else %}{% set s = 1 %}{% endfor %}{{ s }}", "{% if t %}{% for i in l %}{{ s }}{% endfor %}{% set s = 1 %}{% endif %}{{ s }}",
    "{% for i in range(3) %}{% if i is even %}e{% else %}o{% endif %}{% endfor %}", "{% for i in range(3) -%}\n {{ i }}\n{%- endfor %}", "{% for i in range(2) %}\n{{ i }}\n{% endfor %}\nz",
    "{% trans %}x{% endtrans %}", "{% debug %}", "{% if not 0 %}a{% endif %}{% if not not 1 %}b{% endif %}", "{% elif %}", "{% else %}", "{% for x in l %}{% elif %}{% endfor %}", "{% for x %}{% endfor %}", "{% for in l %}{% endfor %}", "{% for x in %}{% endfor %}", "{% for 1 in l %}{% endfor %}", "{% for x.y in l %}{% endfor %}",
    "{% set ns = namespace(i=0) %}{% for x in l %}{% for y in l %}{% set ns.i = ns.i + 1 %}{% endfor %}{% endfor %}{{ ns.i }}", "{{ dict(a=1).items()|list }}", "{{ dict.fromkeys([1, 2], 'x') }}", "{{ {}.fromkeys([1]) }}",
    "{{ l[n] }}", "{{ l[-n] is defined }}", "{{ l[none] }}", "{{ l['a'] }}", "{{ d[1] }}", "{{ d[none] is defined }}", "{{ s[none] }}", "{{ n[0] }}", "{{ n['a'] }}", "{{ true[0] }}", "{{ nope[0] }}",
    "{% macro a() %}A{{ caller() if caller }}{% endmacro %}{% call a() %}{% call a() %}x{% endcall %}{% endcall %}",
    "{% set _ = 1 %}{% set _dummy = d.get('a') %}{{ _ }}", "{% set x = d.update({'q': 1}) %}", "{% set x = l.pop() %}", "{{ 'a' if d.a == 'x' else 'b' }}{{ 'c' if d.b == 2 }}",
    "{{ '' if n else 'x' }}|", "{{ '%s' % s }}", "{{ '%s%s' % (s, n) }}", "{{ s ~ '\\n' if s else '' }}", "{% set t2 = t and n %}{{ t2 }}", "{{ l|map('abs')|sum }}", "{{ ['x', none, 'y']|select|join }}", "{{ [none]|join }}", "{{ [true, 1.5, none, nope]|join(',') }}",
]


def cases():
    for e in EXPRESSIONS:
        yield "{{ " + e.replace("\\\ncont", "\\\ncont") + " }}", VARIABLES
    for t in TEMPLATES:
        yield t, VARIABLES


class Maker:
    """Random templates that mean something often enough."""

    FILTERS = ["upper", "lower", "trim", "length", "list", "first", "last", "join(',')", "string", "int", "float",
               "tojson", "tojson(indent=2)", "default('d')", "d('x', true)", "sort", "unique|list", "reverse|list",
               "map('string')|list", "select|list", "reject('none')|list", "title", "capitalize", "indent(2)",
               "replace('a', 'b')", "abs", "round(1)", "sum", "min", "max", "dictsort", "items|list", "wordcount",
               "selectattr('name')|list", "map(attribute='age')|list", "batch(2)|list", "slice(2)|list", "safe", "e",
               "center(9)", "truncate(6, true, '..', 0)", "format(1)", "count", "groupby('age')|list|length", "urlencode"]
    TESTS = ["defined", "none", "string", "number", "mapping", "iterable", "sequence", "odd", "even", "true", "false",
             "boolean", "integer", "float", "lower", "upper", "in [1, 'a']", "eq(7)", "divisibleby 2", "undefined", "sameas none"]
    METHODS = ["upper()", "lower()", "strip()", "split()", "split(',')", "title()", "startswith('H')", "endswith('d')",
               "replace('l', 'L')", "items()", "keys()|list", "values()|list", "get('a')", "count('l')", "find('o')",
               "join(ls)", "splitlines()", "format(1)", "index(1)", "rstrip('d')", "isdigit()", "capitalize()", "copy()"]
    ATOMS = ["n", "f", "s", "e", "t", "none_", "neg", "l", "ls", "ll", "d", "users", "text", "quote", "nope", "1", "0", "-1", "2.5",
             "'a'", "\"b c\"", "''", "true", "none", "[1, 'a', none]", "{'a': 1}", "(1, 2)", "[]", "x", "y", "loop.index", "range(3)", "big"]

    def __init__(self, rng):
        self.r = rng

    # Expressions of a kind: S a text, I a number, L a list, B a truth, D a dict. Lower-case names
    # of kinds are filled in: "{s} + {s}".
    TYPED = {
        "S": ["s", "text", "quote", "'a-b'", "e", "d.a", "users[0].name", "{s} + {s}", "{s} ~ {i}", "{s} | upper", "{s}.strip()",
              "{s} | trim", "{s}[{i}:]", "{s}[::-1]", "{s}[-3:{i}]", "{l} | join('-')", "{d} | tojson", "{l} | tojson(indent=2)", "{i} | string",
              "({s} if {b} else {s})", "{s} * 2", "{s} | title", "{s}.title()", "{s} | capitalize", "{s} | indent(2, {b})", "'%s:%s' % ({s}, {i})",
              "'{}<{:>6}>'.format({s}, {i})", "{s} | replace('o', {s})", "{s} | default({s}, true)", "{l} | string", "{d} | string", "{s} | center(9)",
              "({l} | first) | string", "{s}.split({s} ~ ',')[0]", "{s} | truncate(8, {b}, '..', 0)", "{s}.rjust({i})", "{s}.lower().capitalize()",
              "{s}.removeprefix('H')", "{s} | urlencode", "{s}.partition('o')[2]", "nope | default({s})", "{l} | map('string') | join", "{s}.swapcase()"],
        "I": ["n", "1", "0", "-2", "neg", "{i} + {i}", "{i} - {i}", "{i} * 2", "{i} // 3", "{i} % 4", "{s} | length", "{l} | length", "{s}.count('o')",
              "{s}.find('l')", "{i} | abs", "({i} if {b} else {i})", "-{i}", "f", "{i} | round", "{i} / 4", "{s} | wordcount", "[{i}, {i}] | max",
              "[{i}, {i}] | sum", "{i} | int", "{s} | int", "{s} | float", "{i} ** 2", "f | round(1)", "{b} + {i}", "{i} // -3", "{i} % -4", "f % {i} if {i} else 0"],
        "L": ["l", "ls", "[{s}, {i}]", "[]", "{s}.split()", "{s}.split('o')", "{s}.splitlines()", "{l} + {l}", "{l}[1:]", "{l}[::-1]", "{l} | map('string') | list",
              "ls | sort", "l | sort(reverse=true)", "{l} | reverse | list", "{d}.items() | list", "{d} | dictsort", "{d}.keys() | list", "{l} | unique | list",
              "{l} | select | list", "{l} | reject('none') | list", "{l} | select('string') | list", "users | map(attribute='name') | list", "{l} | batch(2) | list",
              "{l} | slice(2) | list", "range({i} % 5) | list", "({l} if {b} else {l})", "{s} | list", "{l} | map('length') | list", "[{d}, {b}]", "{l} | map('upper') | list",
              "users | selectattr('age', 'gt', {i}) | list", "(1, {s})", "{s}.rsplit('o', 1)", "{l} * 2", "users | groupby('age') | map(attribute='list') | list"],
        "B": ["t", "true", "false", "{i} > {i}", "{s} == {s}", "{s} in {s}", "{i} in {l}", "{s} not in {d}", "{s} is string", "{l} is iterable", "{i} is odd", "not {b}",
              "{b} and {b}", "{b} or {b}", "nope is defined", "d.zz is none", "{s}.startswith('H')", "{s}.endswith(('d', 'e'))", "{s} < {s}", "{l} == {l}", "{i} <= {i} < {i}",
              "{s}.isalpha()", "{s} is lower", "{s}.isupper()", "{s}.istitle()", "{i} is divisibleby 3", "{d} is mapping", "{l} is sequence", "{i} is number"],
        "D": ["d", "users[0]", "{{'a': {s}, {s}: {i}}}", "{{}}", "dict(x={i}, y={s})", "({d} if {b} else {d})", "{{'k': {l}, 1: {b}, none: {d}}}", "dict({d}, z={s})"],
    }

    def typed(self, kind, depth):
        form = self.r.choice(self.TYPED[kind][:7] if depth <= 0 else self.TYPED[kind])
        if depth < -2:
            form = {"S": "s", "I": "n", "L": "l", "B": "t", "D": "d"}[kind]
        out, i = "", 0
        while i < len(form):
            if form[i:i + 2] in ("{{", "}}"):
                out, i = out + form[i], i + 2
            elif form[i] == "{" and form[i + 2:i + 3] == "}" and form[i + 1] in "silbd":
                out, i = out + "(" + self.typed(form[i + 1].upper(), depth - 1) + ")", i + 3
            else:
                out, i = out + form[i], i + 1
        return out

    def expr(self, depth=3):
        if self.r.random() < 0.96:
            return self.typed(self.r.choice("SSSILLBD"), depth)
        r = self.r.random()
        if depth <= 0 or r < 0.25:
            return self.r.choice(self.ATOMS)
        sub = lambda: self.expr(depth - 1)  # noqa: E731
        if r < 0.42:
            return f"{sub()} | {self.r.choice(self.FILTERS)}"
        if r < 0.52:
            return f"({sub()}).{self.r.choice(self.METHODS)}"
        if r < 0.60:
            return f"{sub()} {self.r.choice(['+', '-', '*', '/', '//', '%', '~', '~', '+'])} {sub()}"
        if r < 0.68:
            return f"{sub()} {self.r.choice(['==', '!=', '<', '>', '<=', '>=', 'in', 'not in', 'and', 'or'])} {sub()}"
        if r < 0.74:
            return f"{sub()} is {self.r.choice(['', 'not '])}{self.r.choice(self.TESTS)}"
        if r < 0.80:
            return f"({sub()} if {sub()} else {sub()})"
        if r < 0.87:
            key = self.r.choice(["0", "-1", "1:", ":2", "::-1", "'a'", "'name'", "n", "1:-1"])
            return f"({sub()})[{key}]"
        if r < 0.91:
            return f"({sub()}).{self.r.choice(['a', 'name', 'age', 'b', '0', 'items', 'zz'])}"
        if r < 0.94:
            return f"not {sub()}"
        if r < 0.97:
            return f"[{sub()}, {sub()}]"
        return "{" + f"'k': {sub()}, 'a': {sub()}" + "}"

    def text(self):
        return self.r.choice(["a", " ", "\n", "x\n", "  y ", "\n\n  ", "<b>", "", "é", "\t"])

    def open(self):
        return "{%" + self.r.choice(["", "", "", "-", "+"]) + " "

    def close(self):
        return " " + self.r.choice(["", "", "", "-", "+"]) + "%}"

    def tag(self, words):
        return self.open() + words + self.close()

    def body(self, depth):
        return "".join(self.piece(depth - 1) for _ in range(self.r.randint(1, 3)))

    def piece(self, depth):
        r = self.r.random()
        if depth <= 0 or r < 0.30:
            return self.text() + "{{" + self.r.choice(["", "", "-"]) + " " + self.expr() + " " + \
                self.r.choice(["", "", "-"]) + "}}" + self.text()
        if r < 0.48:
            out = self.tag("if " + self.expr()) + self.body(depth)
            if self.r.random() < 0.3:
                out += self.tag("elif " + self.expr()) + self.body(depth)
            if self.r.random() < 0.5:
                out += self.tag("else") + self.body(depth)
            return out + self.tag("endif")
        if r < 0.68:
            head = self.r.choice(["x in l", "x in ls", "x in users", "x, y in d.items()", "x in s", f"x in {self.expr(2)}",
                                  "x in l if x > 1", "x in range(3)"])
            out = self.tag("for " + head) + self.body(depth)
            if self.r.random() < 0.2:
                out += self.tag("if " + self.expr(2)) + self.tag(self.r.choice(["break", "continue"])) + self.tag("endif")
            if self.r.random() < 0.2:
                out += self.tag("else") + self.body(depth)
            return out + self.tag("endfor")
        if r < 0.80:
            return self.tag(f"set {self.r.choice(['x', 'y', 'n', 's'])} = {self.expr()}")
        if r < 0.84:
            return self.tag("set x") + self.body(depth) + self.tag("endset")
        if r < 0.88:
            return self.tag("filter " + self.r.choice(["upper", "trim", "replace('a', 'b')", "indent(1)"])) + \
                self.body(depth) + self.tag("endfilter")
        if r < 0.92:
            return self.tag("macro m(x, y=2)") + self.body(depth) + self.tag("endmacro") + "{{ m(" + self.expr(1) + ") }}"
        if r < 0.95:
            return "{#" + self.r.choice(["", "-", "+"]) + " c " + self.r.choice(["", "-", "+"]) + "#}"
        if r < 0.97:
            return self.tag("with y = " + self.expr(2)) + self.body(depth) + self.tag("endwith")
        return self.tag("generation") + self.body(depth) + self.tag("endgeneration")

    def template(self):
        return "".join(self.piece(3) for _ in range(self.r.randint(1, 4)))
