/* The settings dialog. What it holds is kept in local storage; the key only until the window closes. */
import { $ } from './dom.js';

const kept = ['temperature', 'top_p', 'max_tokens', 'seed', 'stop', 'system', 'ignore_eos', 'colour', 'form-of', 'theme'];
const name = 'cambium.settings';

export function restore() {
    try {
        const values = JSON.parse(localStorage.getItem(name) || '{}');
        for (const id of kept) if (typeof values[id] === 'string') $(id).value = values[id];
        $('key').value = sessionStorage.getItem('cambium.key') || '';
    } catch { /* a browser without storage begins with the defaults */ }
    look();
}

export function keep() {
    try {
        localStorage.setItem(name, JSON.stringify(Object.fromEntries(kept.map(id => [id, $(id).value]))));
        sessionStorage.setItem('cambium.key', $('key').value);
    } catch { /* they hold until the page is left */ }
    look();
}

/* Whether somebody chose this setting before. */
export function isKept(id) {
    try {
        return id in JSON.parse(localStorage.getItem(name) || '{}');
    } catch {
        return false;
    }
}

function look() {
    if ($('theme').value) document.documentElement.dataset.theme = $('theme').value;
    else delete document.documentElement.dataset.theme;
}

/* The members of a request that the settings decide. */
export function wishes() {
    const body = { stream: true, return_tokens: true };
    for (const id of ['temperature', 'top_p', 'max_tokens', 'seed'])
        if ($(id).value !== '') body[id] = Number($(id).value);
    if ($('ignore_eos').value) body.ignore_eos = true;
    const stops = $('stop').value.split('\n').filter(Boolean).map(line => line.replaceAll('\\n', '\n'));
    if (stops.length) body.stop = stops;
    return body;
}
