/* Tokens as spans: their colours, their pictures, and the panel that tells of one. */
import { $, make, button } from './dom.js';
import { model } from './api.js';
import { drawPicture } from './pictures.js';

const expertColours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8f6bd6', '#7f7f7f'];
const expertColour = e => expertColours[e % expertColours.length];
const percent = x => x >= 0.1 ? `${(100 * x).toFixed(0)} %` : x >= 0.001 ? `${(100 * x).toFixed(1)} %` : '< 0.1 %';
const visible = text => text.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/ /g, '␣') || '∅';

/* The expert that counted most, or -1 when none did. */
function carrier(token) {
    if (!token.experts) return -1;
    const most = Math.max(...token.experts);
    return most - Math.min(...token.experts) < 1e-4 ? -1 : token.experts.indexOf(most);
}

function paint(span) {
    const token = span.token, how = $('colour').value;
    let colour = 'transparent';
    if (how === 'probability') {
        const p = Math.exp(token.logprob);
        colour = `hsl(${(120 * Math.sqrt(p)).toFixed(0)} 75% 50% / ${(0.42 * (1 - p) + 0.08).toFixed(2)})`;
    } else if (how === 'expert' && carrier(token) >= 0) {
        const e = carrier(token), share = token.experts[e];
        colour = `color-mix(in srgb, ${expertColour(e)} ${(15 + 50 * share).toFixed(0)}%, transparent)`;
    }
    span.style.background = colour;
}

export const repaint = () => document.querySelectorAll('.token').forEach(paint);

/* A token, or the part of it that is shown here. */
export function tokenSpan(token, text) {
    const span = make('span', { className: text ? 'token' : 'token silent', tabIndex: -1 }, ...text ? [text] : []);
    span.token = token;
    paint(span);
    return span;
}

export function glyphSpan(token) {
    const canvas = make('canvas'), span = tokenSpan(token, '');
    span.append(canvas);
    drawPicture(canvas, token.id);
    return span;
}

/* The text from start to end as spans of the tokens that wrote it; what none wrote is plain. */
export function leafOf(content, tokens) {
    return (start, end) => {
        const nodes = [];
        let low = 0, high = tokens.length;
        while (low < high) { /* the first token that ends behind start */
            const middle = (low + high) >> 1;
            if (tokens[middle].at + tokens[middle].adds.length <= start) low = middle + 1;
            else high = middle;
        }
        for (let at = start; at < end; low++) {
            const token = tokens[low];
            const from = token ? Math.min(Math.max(token.at, at), end) : end;
            if (from > at) nodes.push(content.slice(at, from));
            if (!token || from >= end) break;
            at = Math.min(token.at + token.adds.length, end);
            if (at > from) nodes.push(tokenSpan(token, content.slice(from, at)));
        }
        return nodes;
    };
}

/* ---- the panel ---- */

let chosen = null, closed = false;

function bars(rows) {
    const grid = make('div', { className: 'bars' });
    for (const [name, share, colour] of rows) {
        const bar = make('i');
        bar.style.width = `${100 * share}%`;
        if (colour) bar.style.background = colour;
        grid.append(make('code', { textContent: name, title: name }), make('div', {}, bar),
                    make('span', { textContent: percent(share) }));
    }
    return grid;
}

function facts(token) {
    const list = make('dl');
    for (const [name, value] of [['text', visible(token.text)], ['id', token.id], ['probability', percent(Math.exp(token.logprob))],
                                 ['log p', token.logprob.toFixed(3)]])
        list.append(make('dt', { textContent: name }), make('dd', { textContent: value }));
    return list;
}

export function closePanel() {
    const open = !$('token').hidden;
    if (chosen) chosen.classList.remove('chosen');
    chosen = null;
    $('token').hidden = closed = true;
    return open;
}

/* Pointing at tokens fills the panel while it is open; a click opens it. */
export function inspect(span, isClick) {
    if (!span || !span.token || (closed || $('token').hidden) && !isClick) return;
    closed = false;
    if (chosen) chosen.classList.remove('chosen');
    chosen = span;
    span.classList.add('chosen');
    const { token } = span, panel = $('token');
    panel.hidden = false;
    panel.replaceChildren(button('×', 'Close', closePanel, 'close'), make('h2', { textContent: 'Token' }));
    if (model && model.pictures) {
        const canvas = make('canvas', { className: 'raster' });
        drawPicture(canvas, token.id);
        panel.append(canvas);
    }
    panel.append(facts(token));
    if (token.top && token.top.length)
        panel.append(make('h2', { textContent: 'What there was' }),
                     bars(token.top.map(t => [visible(t.text), Math.exp(t.logprob), t.id === token.id ? '' : 'var(--soft)'])));
    if (token.experts && model)
        panel.append(make('h2', { textContent: `Experts (${model.rule})` }),
                     bars(token.experts.map((w, e) => [model.experts[e], w, expertColour(e)])));
}

/* ---- what the colours mean ---- */

export function legend() {
    const how = $('colour').value, parts = [];
    const swatch = (colour, text) => {
        const box = make('i');
        box.style.background = colour;
        parts.push(make('span', {}, box, text));
    };
    if (how === 'expert' && model) {
        if (model.experts.length < 2) parts.push(make('span', { className: 'hint', textContent: 'This model has one expert.' }));
        else model.experts.forEach((name, e) => swatch(expertColour(e), name));
    } else if (how === 'probability') {
        swatch('hsl(0 75% 50% / .5)', 'improbable');
        swatch('hsl(60 75% 50% / .4)', 'even');
        swatch('hsl(120 75% 50% / .15)', 'sure');
    }
    $('legend').replaceChildren(...parts);
}
