/* Markdown as DOM nodes. Every piece of text is made by leaf(start, end), which is given its place in the
 * source: so tokens keep their colours inside of headings and code. Markup becomes elements made here; HTML in
 * the source stays text. */
import { make, button, copy } from './dom.js';

const deepest = 16; /* quotes and lists inside of each other */

/* Lines are places in the source: stripping a prefix moves the start, and nothing is copied. */
function linesOf(source) {
    const lines = [];
    for (let at = 0; at <= source.length;) {
        let end = source.indexOf('\n', at);
        if (end < 0) end = source.length;
        lines.push({ start: at, end });
        at = end + 1;
    }
    return lines;
}

const fencePattern = /^ {0,3}(`{3,}|~{3,}) *([^`]*)$/;
const headingPattern = /^ {0,3}(#{1,6})(?: +|$)/;
const rulePattern = /^ {0,3}([-*_])( *\1){2,} *$/;
const quotePattern = /^ {0,3}> ?/;
const itemPattern = /^( *)([-*+]|\d{1,9}[.)])( +|$)/;
const delimiterPattern = /^ *\|? *:?-+:? *(\| *:?-+:? *)*\|? *$/;

const textOf = (source, line) => source.slice(line.start, line.end);
const isBlank = text => !text.trim();
const cells = (source, line) => {
    const found = [];
    let start = line.start;
    for (let at = line.start; at <= line.end; at++) {
        if (at < line.end && source[at] === '\\') { at++; continue; }
        if (at === line.end || source[at] === '|') {
            found.push({ start, end: at });
            start = at + 1;
        }
    }
    const edge = cell => isBlank(textOf(source, cell));
    if (found.length > 1 && edge(found[0])) found.shift();
    if (found.length > 1 && edge(found.at(-1))) found.pop();
    for (const cell of found) {
        while (cell.start < cell.end && source[cell.start] === ' ') cell.start++;
        while (cell.end > cell.start && source[cell.end - 1] === ' ') cell.end--;
    }
    return found;
};

const startsBlock = text =>
    fencePattern.test(text) || headingPattern.test(text) || rulePattern.test(text) || quotePattern.test(text) ||
    itemPattern.test(text) && !isBlank(text);

/* The blocks of some lines: { kind, lines, ... }, one after the other. */
function blocksOf(source, lines, depth) {
    const blocks = [];
    let at = 0;
    const text = i => textOf(source, lines[i]);
    while (at < lines.length) {
        const line = text(at);
        const from = at;
        let match;
        if (isBlank(line)) {
            at++;
        } else if (match = fencePattern.exec(line)) {
            const close = new RegExp(`^ {0,3}${match[1][0]}{${match[1].length},} *$`);
            for (at++; at < lines.length && !close.test(text(at)); at++);
            blocks.push({ kind: 'code', language: match[2].trim(), lines: lines.slice(from + 1, at) });
            at++;
        } else if (match = headingPattern.exec(line)) {
            const { start, end } = lines[at++];
            blocks.push({ kind: 'heading', level: match[1].length, lines: [{ start: start + match[0].length, end }] });
        } else if (rulePattern.test(line)) {
            at++;
            blocks.push({ kind: 'rule', lines: [] });
        } else if (quotePattern.test(line) && depth < deepest) {
            const inner = [];
            for (; at < lines.length && (match = quotePattern.exec(text(at))); at++)
                inner.push({ start: lines[at].start + match[0].length, end: lines[at].end });
            blocks.push({ kind: 'quote', inner: blocksOf(source, inner, depth + 1), lines: inner });
        } else if (itemPattern.test(line) && depth < deepest) {
            at = listAt(source, lines, at, depth, blocks);
        } else if (line.includes('|') && at + 1 < lines.length && delimiterPattern.test(text(at + 1)) &&
                   cells(source, lines[at]).length === cells(source, lines[at + 1]).length) {
            for (at += 2; at < lines.length && text(at).includes('|'); at++);
            blocks.push({ kind: 'table', lines: lines.slice(from, at) });
        } else {
            for (at++; at < lines.length && !isBlank(text(at)) && !startsBlock(text(at)); at++);
            blocks.push({ kind: 'paragraph', lines: lines.slice(from, at) });
        }
        const block = blocks.at(-1);
        if (block && block.key === undefined && at > from && !isBlank(line))
            block.key = `${block.kind} ${lines[from].start} ${lines[Math.min(at, lines.length) - 1].end}`;
    }
    return blocks;
}

/* A list: items of one kind of marker; what is indented as deep as an item's text belongs to it. */
function listAt(source, lines, at, depth, blocks) {
    const first = itemPattern.exec(textOf(source, lines[at]));
    const ordered = /\d/.test(first[2]), items = [];
    const list = { kind: 'list', ordered, start: parseInt(first[2], 10), items, lines: [] };
    while (at < lines.length) {
        const match = itemPattern.exec(textOf(source, lines[at]));
        if (!match || /\d/.test(match[2]) !== ordered || match[1].length > first[1].length + 3) break;
        const indent = match[3] ? match[0].length : match[0].length + 1;
        const inner = [{ start: Math.min(lines[at].start + match[0].length, lines[at].end), end: lines[at].end }];
        let blank = false;
        for (at++; at < lines.length; at++) {
            const text = textOf(source, lines[at]);
            if (isBlank(text)) {
                blank = true;
                inner.push(lines[at]);
                continue;
            }
            const spaces = /^ */.exec(text)[0].length;
            if (spaces >= Math.min(indent, match[1].length + 2)) inner.push({ start: lines[at].start + Math.min(spaces, indent), end: lines[at].end });
            else if (!blank && !startsBlock(text)) inner.push({ start: lines[at].start + spaces, end: lines[at].end });
            else break;
            blank = false;
        }
        items.push(blocksOf(source, inner, depth + 1));
    }
    blocks.push(list);
    return at;
}

/* ---- within a line ---- */

/* Some lines as one text; place(i) is where its character i stands in the source. */
function joined(source, lines) {
    let text = '';
    const starts = [];
    for (const line of lines) {
        starts.push(text.length);
        text += `${textOf(source, line)}\n`;
    }
    return { text: text.slice(0, -1), starts, lines };
}

/* Text from one index to another, as leaves that do not cross lines' ends. */
function leaves({ starts, lines }, from, to, leaf) {
    const nodes = [];
    for (let k = 0; k < lines.length && from < to; k++) {
        const next = k + 1 < starts.length ? starts[k + 1] : Infinity;
        if (from >= next) continue;
        const until = Math.min(to, next);
        nodes.push(...leaf(lines[k].start + from - starts[k], lines[k].start + until - starts[k]));
        from = until;
    }
    return nodes;
}

const marks = [['**', 'strong'], ['__', 'strong'], ['~~', 's'], ['*', 'em'], ['_', 'em']];
const isWord = c => c !== undefined && /[\p{L}\p{N}]/u.test(c);
const isSpace = c => c === undefined || /\s/.test(c);
const safeAddress = /^(https?:\/\/|mailto:)[^\s]+$/i;

/* Where the mark that opens before `from` closes, or -1. */
function closing(text, mark, from, to) {
    for (let at = from; at + mark.length <= to; at++) {
        if (text[at] === '\\') { at++; continue; }
        if (text[at] === '`') {
            const run = /^`+/.exec(text.slice(at, to))[0].length, end = text.indexOf('`'.repeat(run), at + run);
            at = (end >= 0 && end < to ? end + run : at + run) - 1;
            continue;
        }
        if (!text.startsWith(mark, at) || isSpace(text[at - 1]) || at === from) continue;
        if (mark.length === 1 && text[at + 1] === mark) { at++; continue; }
        if (mark[0] === '_' && isWord(text[at + mark.length])) continue;
        return at;
    }
    return -1;
}

function inline(piece, from, to, leaf, depth = 0) {
    const { text } = piece, nodes = [], missing = new Set();
    let plain = from, at = from;
    const flush = until => { nodes.push(...leaves(piece, plain, until, leaf)); };
    const put = (element, end) => { flush(at); nodes.push(element); at = plain = end; };
    outer: while (at < to) {
        const c = text[at];
        if (c === '\\' && at + 1 < to && /[!-/:-@[-`{-~]/.test(text[at + 1])) {
            flush(at);
            plain = at + 1;
            at += 2;
            continue;
        }
        if (c === '`') {
            const run = /^`+/.exec(text.slice(at, to))[0].length, end = text.indexOf('`'.repeat(run), at + run);
            if (end >= 0 && end + run <= to) {
                put(make('code', {}, ...leaves(piece, at + run, end, leaf)), end + run);
                continue;
            }
            at += run;
            continue;
        }
        if (depth < deepest)
            for (const [mark, tag] of marks) {
                if (missing.has(mark) || !text.startsWith(mark, at) || isSpace(text[at + mark.length])) continue;
                if (mark[0] === '_' && isWord(text[at - 1])) continue;
                const end = closing(text, mark, at + mark.length, to);
                if (end < 0) { missing.add(mark); continue; }
                put(make(tag, {}, ...inline(piece, at + mark.length, end, leaf, depth + 1)), end + mark.length);
                continue outer;
            }
        if (c === '[' && depth < deepest) {
            const match = /^\[((?:[^\[\]\\]|\\.){0,500})\]\(\s*<?([^\s()<>]{1,2000})>?(?:\s+"[^"]{0,500}")?\s*\)/.exec(text.slice(at, Math.min(to, at + 3000)));
            if (match && safeAddress.test(match[2])) {
                put(link(match[2], inline(piece, at + 1, at + 1 + match[1].length, leaf, deepest)), at + match[0].length);
                continue;
            }
        }
        if ((c === 'h' || c === 'H') && !isWord(text[at - 1])) {
            const match = /^https?:\/\/[^\s<>"`|]{1,2000}/i.exec(text.slice(at, Math.min(to, at + 2100)));
            if (match && depth < deepest) {
                const address = match[0].replace(/[.,;:!?*_)\]]+$/, '');
                put(link(address, leaves(piece, at, at + address.length, leaf)), at + address.length);
                continue;
            }
        }
        at++;
    }
    flush(to);
    return nodes;
}

const link = (href, nodes) => make('a', { href, target: '_blank', rel: 'noopener noreferrer' }, ...nodes);

/* ---- elements ---- */

function element(source, block, leaf) {
    const text = lines => {
        const piece = joined(source, lines);
        return inline(piece, 0, piece.text.length, leaf);
    };
    const inside = blocks => blocks.map(b => element(source, b, leaf));
    switch (block.kind) {
    case 'heading': return make(`h${block.level}`, {}, ...text(block.lines));
    case 'rule': return make('hr');
    case 'quote': return make('blockquote', {}, ...inside(block.inner));
    case 'list': {
        const list = make(block.ordered ? 'ol' : 'ul', {}, ...block.items.map(item => make('li', {}, ...inside(item))));
        if (block.ordered && block.start !== 1) list.start = block.start;
        return list;
    }
    case 'table': {
        const row = (line, tag) => make('tr', {}, ...cells(source, line).map(cell => make(tag, {}, ...text([cell]))));
        return make('div', { className: 'scroll-x' }, make('table', {}, make('thead', {}, row(block.lines[0], 'th')),
            make('tbody', {}, ...block.lines.slice(2).map(line => row(line, 'td')))));
    }
    case 'code': {
        const piece = joined(source, block.lines);
        const code = make('code', {}, ...leaves(piece, 0, piece.text.length, leaf));
        const take = button('Copy', 'Copy this code', event => copy(piece.text, event.currentTarget));
        return make('figure', {}, make('figcaption', {}, make('span', { textContent: block.language || 'code' }), take),
                    make('pre', {}, code));
    }
    default: return make('p', {}, ...text(block.lines));
    }
}

/* Shows `source` in `box`. Blocks that a longer source only follows stay as they are, so that an answer can be
 * drawn again at each of its tokens. */
export function showMarkdown(box, source, leaf) {
    const blocks = blocksOf(source, linesOf(source), 0), before = box.blockKeys || [];
    let same = 0;
    /* The last block may still grow into something else. */
    while (same < blocks.length - 1 && same < before.length - 1 && blocks[same].key === before[same]) same++;
    while (box.childNodes.length > same) box.lastChild.remove();
    for (const block of blocks.slice(same)) box.append(element(source, block, leaf));
    box.blockKeys = blocks.map(b => b.key);
}
