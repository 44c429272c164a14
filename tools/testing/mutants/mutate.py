#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Copies C sources with each check of theirs made removable at run time.

mutate.py OUT LIST FILE...: writes the changed copies under OUT, and to LIST a line
"number<TAB>file:line<TAB>what<TAB>function" for each check. A check is

  * an if whose branch ends with an error (return of something other than 0 or true,
    goto, vd_fail or vd_corrupt, returned or kept in ret), or tells a finding: removed,
    it is never taken;
  * one of the parts of "return A && B;" in a function that returns bool: removed, it
    is true.

The copies call vd_keep(number), which is false for the check that is removed.
"""

import os
import re
import sys

ERROR = re.compile(r'^\s*(return\s+(?!(0|true)\s*(;|$)|VD_)|goto\s|(ret = )?vd_(fail|corrupt)\b|'
                   r'ret = vmdk_encrypted\b)')


def skip_string(text, at):
    quote = text[at]
    at += 1
    while text[at] != quote:
        at += 2 if text[at] == '\\' else 1
    return at + 1


def blank_comments(text):
    """The same length, with comments as blanks."""
    return re.sub(r'/\*.*?\*/|//[^\n]*', lambda m: re.sub(r'[^\n]', ' ', m.group()), text,
                  flags=re.S)


def outside(text, at):
    """Places from @at on that are in no string, each with the depth of brackets after it."""
    depth = 0
    while at < len(text):
        c = text[at]
        if c in '"\'':
            at = skip_string(text, at)
            continue
        depth += (c in '([{') - (c in ')]}')
        yield at, c, depth
        at += 1


def closing(text, at):
    """Where the bracket at @at is closed."""
    return next(i for i, _, depth in outside(text, at) if not depth)


def statement_end(text, at):
    return next(i for i, c, depth in outside(text, at) if c == ';' and not depth) + 1


def function_head(text, at):
    """Of the function around @at: the last line that starts in column 0."""
    heads = re.findall(r'^[a-z][^\n;]*?\(', text[:at], flags=re.M)
    return heads[-1] if heads else ''


def function_name(text, at):
    return re.search(r'(\w*)\($', function_head(text, at) or '(').group(1)


def function_returns_bool(text, at):
    return re.match(r'(static )?(inline )?bool ', function_head(text, at)) is not None


def split_and(expr):
    """Offsets of the parts of A && B at depth 0; one part: no conjunction."""
    parts, start = [], 0
    for at, c, depth in outside(expr, 0):
        if depth or at < start:
            continue
        if expr.startswith('||', at) or c == '?':
            return []
        if expr.startswith('&&', at):
            parts.append((start, at))
            start = at + 2
    parts.append((start, len(expr)))
    return parts


def checks_of_ifs(text):
    for m in re.finditer(r'\bif \(', text):
        begin = m.end() - 1
        end = closing(text, begin)
        body = text[end + 1:].lstrip()
        at = end + 1 + (len(text) - end - 1 - len(body))
        if body.startswith('{'):
            stop = closing(text, at) + 1
            inside = text[at + 1:stop - 1].strip()
            last = inside.rstrip(';').rsplit(';', 1)[-1]
        else:
            stop = statement_end(text, at)
            last = text[at:stop]
        if not ERROR.match(last.strip()) and 'vd_check_found(' not in text[at:stop]:
            continue
        condition = ' '.join(text[begin + 1:end].split())
        # "if (ret) return ret;" hands an error on: the anomaly loop's, not an image's.
        if re.fullmatch(r'(ret|!?err|ret < 0|ret \|\| !gde)', condition):
            continue
        yield begin + 1, end, condition, False


def checks_of_returns(text):
    for m in re.finditer(r'\breturn ', text):
        end = statement_end(text, m.end()) - 1
        expr = text[m.end():end]
        parts = split_and(expr)
        if len(parts) < 2 or not function_returns_bool(text, m.start()):
            continue
        for a, b in parts:
            yield m.end() + a, m.end() + b, ' '.join(expr[a:b].split()), True


def mutate(path, number, listing):
    with open(path, encoding='utf-8') as f:
        source = f.read()
    text = blank_comments(source)
    places = sorted(list(checks_of_ifs(text)) + list(checks_of_returns(text)))
    out, last = [], 0
    for begin, end, what, conjunct in places:
        number += 1
        line = text.count('\n', 0, begin) + 1
        listing.write(f'{number}\t{path}:{line}\t{what}\t{function_name(text, begin)}\n')
        out.append(source[last:begin])
        body = source[begin:end]
        if conjunct:
            out.append(f' (({body.strip()}) || !vd_keep({number}))')
        else:
            out.append(f'({body}) && vd_keep({number})')
        last = end
    out.append(source[last:])
    return ''.join(out), number


def main():
    out_dir, list_name, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    number = 0
    with open(list_name, 'w', encoding='utf-8') as listing:
        for path in files:
            text, number = mutate(path, number, listing)
            to = os.path.join(out_dir, path)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            with open(to, 'w', encoding='utf-8') as f:
                f.write('extern int vd_keep(int);\n#line 1\n' + text)


main()
