"""Templates that exercise the language, one construct each, and variables to run them on. Used by make_jinja.py and
check_chat.py."""
VARIABLES = {
    "s": " Hello, wÖrld! it's \"q\" <b>&\n\tline two  ", "e": "", "n": 42, "z": 0, "f": 2.5, "neg": -7, "t": True, "nn": None,
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "d": {"b": 1, "a": "x", "items": 5},
    "m": [{"role": "user", "content": "Hi <x>", "n": 2}, {"role": "assistant", "content": None, "n": 1},
          {"role": "user", "content": ["p"], "n": 2}],
    "u": "ÄÖß ﬁ ΣΑΣ 日本 😀 x", "nest": {"x": [{"y": {"z": "deep"}}], "q": {"r": [1.0, 1e20, -0.0, 1e-7, 0.1]}},
    "words": "the quick brown fox-jumps (over) the_lazy dog", "num": "12.75", "hex": "ff", "big": 9007199254740993,
    "tree": [{"v": 1, "sub": [{"v": 2, "sub": []}, {"v": 3, "sub": [{"v": 4, "sub": []}]}]}],
}

# What stands between {{ and }}.
EXPRESSIONS = r"""
s | s.strip() | upper ;; s | trim | lower ;; s.lstrip() ;; s.rstrip() ;; s.strip(' H\n') ;; s[1:6] ;; s[::-1] ;; s[-3:] ;; s[5:1:-2] ;; s[0]
s[-1] ;; u | upper ;; u | lower ;; u.title() ;; u | title ;; u | capitalize ;; u | length ;; u[0] ;; u[::2] ;; u.swapcase() ;; u.casefold()
s.split() ;; s.split(',') ;; s.split('l', 1) ;; s.rsplit('o', 1) ;; s.rsplit(none, 2) ;; s.splitlines() ;; s.splitlines(true) ;; words.split()[-1]
words | title ;; words.title() ;; words | wordcount ;; words | truncate(20) ;; words | truncate(20, true) ;; words | truncate(12, false, '…', 0)
words | center(60) ;; words.center(61, '*') ;; words.ljust(50, '.') ;; words.rjust(50) ;; '7'.zfill(3) ;; '-7'.zfill(5)
s.replace('l', 'L') ;; s.replace('l', 'L', 1) ;; s.replace('', '-') ;; s | replace('l', '') ;; s | replace('o', '0', 1) ;; words.find('quick')
words.rfind('the') ;; words.find('zz') ;; words.index('fox') ;; words.count('o') ;; words.count('') ;; words.startswith('the')
words.endswith(('dog', 'cat')) ;; words.startswith('quick', 4) ;; words.removeprefix('the ') ;; words.removesuffix(' dog') ;; words.partition(' ')
words.rpartition(' ') ;; words.partition('zz') ;; '-'.join(ls) ;; ', '.join(l | map('string')) ;; '{} {}'.format(1, 'a') ;; '{1}{0}'.format('a', n)
'{a:>6}|{b:<5}|{c:^7}|'.format(a=1, b='x', c=2.5) ;; '{:.2f} {:05d} {:,} {:x} {:+d} {:%} {:e}'.format(f, n, big, n, n, f, f) ;; '{{}}'.format()
'%s-%d %5.1f %05d %x %r %%' % (1, 2.9, f, n, n, 'a') ;; '%(a)s' % {'a': 1} ;; '%s' % n ;; '%-5s|' % 'a' ;; '%s, %s' | format(n, f)
'abc'.isalpha() ;; '12'.isdigit() ;; 'a1'.isalnum() ;; ' '.isspace() ;; 'Ab'.istitle() ;; '²'.isdigit() ;; '½'.isnumeric() ;; 'é'.isascii()
n + 1 ;; n - 50 ;; n * 2 ;; n / 5 ;; n // 5 ;; neg // 2 ;; neg % 3 ;; n % 5 ;; n ** 2 ;; 2 ** -1 ;; f * 2 ;; f // 1 ;; -f % 2 ;; 7.0 ;; 1e16 ;; 1e-5
0.1 + 0.2 ;; 1 / 3 ;; nest.q.r ;; -n ;; +n ;; - 3 | abs ;; 2 ** 3 ** 2 ;; (1, 2) + (3,) ;; [1] + [2] ;; 'ab' * 3 ;; [0] * 2 ;; 'a' ~ 1 ~ none ~ 2.0
1 < 2 < 3 ;; 1 < 3 < 2 ;; 'a' < 'b' ;; [1, 2] < [1, 3] ;; 1 == 1.0 ;; true == 1 ;; 'a' in 'abc' ;; 2 in l ;; 'a' in d ;; 5 not in l ;; nn == none
not t ;; not e ;; e or 'x' ;; n and 'y' ;; e and 'y' ;; nn or z or 'last' ;; 'a' if t else 'b' ;; 'a' if e ;; ('a' if z else 'b') if t else 'c'
undef ;; undef is defined ;; undef | default('d') ;; e | default('d', true) ;; e | d('d') ;; undef | length ;; undef | list ;; undef | join ;; d.nope
d['a'] ;; d.items() ;; d.keys() ;; d.values() ;; d.get('a') ;; d.get('q') ;; d.get('q', 7) ;; d['items'] ;; d | items | list ;; d | list
d | dictsort ;; d | dictsort(reverse=true) ;; d | length ;; d.copy() ;; nest.x[0].y.z ;; nest['x'][0]['y']['z'] ;; nest.x.0.y ;; l[0] ;; l[-1] ;; l[9]
l[1:] ;; l[::-1] ;; l[-2:] ;; l[:-1] ;; l | first ;; l | last ;; l | length ;; l | sum ;; l | min ;; l | max ;; l | sort ;; l | sort(reverse=true)
l | reverse | list ;; ls | sort ;; ls | sort(case_sensitive=true) ;; ls | join(', ') ;; ls | map('upper') | join ;; l | list ;; l.index(1) ;; l.count(3)
ls | unique | list ;; [1, 1.0, 2, 'A', 'a'] | unique | list ;; ls | select('in', 'abA') | list ;; l | select('>', 1) | list ;; l | reject('odd') | list
m | map(attribute='role') | list ;; m | map(attribute='zz', default='-') | list ;; m | selectattr('role', 'equalto', 'user') | list | length
m | selectattr('content') | list | length ;; m | rejectattr('content', 'none') | map(attribute='n') | sum ;; m | sum(attribute='n')
m | sort(attribute='n') | map(attribute='role') | join('/') ;; m | groupby('role') | map('first') | list ;; m | map(attribute='content') | first
m | sort(attribute='role,n') | map(attribute='n') | list ;; m | max(attribute='n') ;; m | join('-', attribute='role') ;; [1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3, 4, 5] | batch(2, 0) | list ;; [1, 2, 3, 4, 5] | slice(3) | list ;; [1, 2, 3, 4, 5] | slice(3, 'x') | list ;; 'abc' | list ;; 'abc' | reverse
num | float ;; num | int ;; hex | int(base=16) ;; hex | int(default=-1) ;; 'x' | float(1.5) ;; f | int ;; neg | abs ;; f | round ;; 3.5 | round ;; 2.675 | round(2)
f | round(method='ceil') ;; 2.44 | round(1, 'floor') ;; n | round ;; 1234 | round(-2) ;; t | string ;; none | string ;; n | string | length
m | tojson ;; d | tojson(indent=2) ;; nest | tojson ;; u | tojson ;; u | tojson(ensure_ascii=true) ;; d | tojson(sort_keys=true) ;; [] | tojson(indent=4)
s | tojson ;; [1, none, true, 1.5, 'a"b\\c\n\x01'] | tojson(separators=(',', ':')) ;; {1: 2, none: 3, true: 4, 1.5: 5} | tojson ;; 'é' | tojson
s | escape ;; s | e | length ;; '<' | safe ;; ('<' | safe) + '>' ;; ('<' | e) + '<' ;; s | indent ;; s | indent(2, true) ;; s | indent(3, blank=true)
n is number ;; f is float ;; n is integer ;; t is boolean ;; t is integer ;; s is string ;; d is mapping ;; l is sequence ;; d is iterable ;; n is iterable
range is callable ;; n is odd ;; n is even ;; n is divisibleby 7 ;; n is divisibleby(5) ;; nn is none ;; n is not none ;; n is eq 42 ;; n is ne(1) ;; n is gt 1
n is in [1, 42] ;; 'x' is in d ;; nn is sameas none ;; t is true ;; z is false ;; 'ab' is lower ;; 'AB' is upper ;; 'x' is equalto 'x' ;; 1 is lt 2
range(3) ;; range(3) | list ;; range(5, 0, -2) | join ;; range(1, 4) | sum ;; range(0) | length ;; dict(a=1, b=2) ;; dict(d, z=3) | length
namespace(a=1).a ;; cycler('a', 'b').next() ;; joiner('|')() ;; strftime_now('%d %b %Y') ;; strftime_now('%Y-%m-%d %H:%M:%S %A %j')
[s, n, f, t, nn, l, d] ;; (1,) ;; () ;; {} ;; {'a': [1, {'b': 'c'}]} ;; ["it's", 'say "x"', 'it\'s "both"', '\n\t\\', '\x7f\xa0é😀'] ;; 'a' 'b' "c"
'\u00e9\x41\101\q' ;; "tab\there" ;; true ;; True ;; none ;; None ;; 1_000 ;; 0x1f ;; 0b101 ;; 0o17 ;; 1.5e3 ;; loop is defined ;; (l, 2) ;; 1, 2
m | map(attribute='content') | select('string') | list ;; words.split(' ') | select('match') | list if false else 'soft' ;; m[0].role.upper() ;; s.nope
undef.x ;; undef + 1 ;; undef() ;; nn + 'a' ;; 'a' + 1 ;; l + 'a' ;; d.update({}) ;; l.append(1) ;; 1 / 0 ;; l | tojson(indent='--') ;; raise_exception('why') ;; [undef] | tojson
l | map('nosuch') | list ;; s | nosuch ;; n is nosuch ;; none | length ;; 5 | list ;; l < 'a' ;; {[1]: 2} ;; range(200000) ;; 'a' in 5 ;; f[1:] ;; d | sort | list
"""

# Whole templates.
STATEMENTS = [
    "{% for x in l %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}"
    "{{ loop.length }}{{ loop.depth }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }};{% endfor %}",
    "{% for x in [] %}{{ x }}{% else %}none{% endfor %}", "{% for x in l %}{% continue %}{% else %}skipped{% endfor %}",
    "{% for x in l %}{% break %}{% else %}left{% endfor %}", "{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{% else %}no{% endfor %}",
    "{% for x in l if x > 9 %}{{ x }}{% else %}no{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, (a, b) in [(1, (2, 3))] %}{{ k }}{{ a }}{{ b }}{% endfor %}", "{% for c in 'aé😀' %}[{{ c }}]{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}",
    "{% for x in l %}{% for y in ls %}{{ loop.index }}{% if y == 'c' %}{% break %}{% endif %}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for i in tree recursive %}{{ i.v }}{{ loop.depth }}({{ loop(i.sub) }}){% endfor %}", "{% for x in l %}{% set q = x %}{% endfor %}{{ q }}",
    "{% set q = 0 %}{% for x in l %}{% set q = q + x %}{{ q }}{% endfor %}{{ q }}", "{% set ns = namespace(q=0, w='') %}{% for x in l %}"
    "{% set ns.q = ns.q + x %}{% set ns.w = ns.w ~ x %}{% endfor %}{{ ns.q }} {{ ns.w }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a = 1, 2 %}{{ a }}", "{% set x %}a {{ n }} b{% endset %}[{{ x }}]{{ x is string }}", "{% set x | upper | replace('A', 'o') %}a{{ s }}{% endset %}{{ x }}",
    "{% if z %}a{% elif e %}b{% elif n %}c{% else %}d{% endif %}", "{% if undef %}a{% endif %}b", "{% if n > 1 and not z or e %}y{% endif %}",
    "{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}|{{ f(1, c=3) }}|{{ f(b=1, a=0) }}|{{ f() }}|{{ f(1) | length }}",
    "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, x=3) }}", "{% macro f(x) %}<{{ caller(x) }}>{% endmacro %}{% call(y) f(1) %}{{ y }}b{% endcall %}",
    "{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}",
    "{% macro outer() %}{% macro inner() %}i{{ n }}{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}", "{% set g = 1 %}{% macro f() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ f() }}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% filter upper | trim %} a{{ s }} {% endfilter %}", "{% generation %}a{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}",
    "a {#- c -#} b {# d #} c", "{% raw %}{{ x }}{% y %}{% endraw %} z", "{%- raw -%}  {{ x }}  {%- endraw -%}  z", "  {% if t %}\n  a\n  {% endif %}\n  b\n",
    "  {%- if t -%}\n  a\n  {%- endif -%}\n  b\n\n", "  {%+ if t +%}\n  a\n  {%+ endif %}\n b", "a\n  {# c #}\n  b", "a\n  {{ n }}\n  b", "a\n  {{- n -}}\n  b", "x\r\n{% if t %}\r\ny\r{% endif %}\r\n",
    "{{ n }}\n{{ n }}\n\n", "\n{% set x = 1 %}\n\n{% set y = 2 %}\n{{ x }}{{ y }}", "{{ '{{' }}{{ '%}' }}{{ {'a': {'b': 1}}['a']['b'] }}", "{ {% if t %} {x} {%endif%} }", "{{- '\n a ' -}}  \n b",
    "{% for m in m %}{{ m.role }}{% endfor %}{{ m | length }}", "{% for x in l %}{{ x }}{% endfor %}{{ x }}{{ loop }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for x in d %}{{ x }}{% endfor %}", "{% for x in undef %}{{ x }}{% endfor %}", "{% for x in nn %}{{ x }}{% endfor %}", "{% for a, b in l %}{{ a }}{% endfor %}", "{% set d.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}", "{% if a if b %}x{% endif %}", "{% break %}", "{% for x in l %}", "{% endif %}", "{{ a b }}", "{{ 'x }}", "{{ (1 }}", "{# x", "{% raw %}", "{{ }}",
    "{% macro f() %}{% break %}{% endmacro %}", "{% include 'x' %}", "{% do 1 %}", "{{ x.}}", "{{ 1 is }}", "{% set 1 = 2 %}", "{% if t %}{% else %}{% else %}{% endif %}", "{{ f(a=1, 2) }}", "{{ [1, 2 }}",
]


def templates():
    """All of them."""
    for line in EXPRESSIONS.strip().split("\n"):
        for one in line.split(" ;; "):
            yield "{{ " + one.strip() + " }}"
    yield from STATEMENTS
