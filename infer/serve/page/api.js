/* What the page asks the server. Addresses are relative: the page may stand below a reverse proxy's path. */
import { $ } from './dom.js';

/* GET v1/models' object, or null before it came. */
export let model = null;

function headers() {
    const all = { 'Content-Type': 'application/json' };
    if ($('key').value) all.Authorization = `Bearer ${$('key').value}`;
    return all;
}

async function failure(response) {
    try {
        return (await response.json()).error.message;
    } catch {
        return `HTTP status ${response.status}`;
    }
}

async function ask(path, options = {}) {
    const response = await fetch(path, { headers: headers(), ...options });
    if (!response.ok) throw new Error(await failure(response));
    return response;
}

export async function loadModel() {
    model = (await (await ask('v1/models')).json()).data[0];
    return model;
}

/* The pictures of tokens, as { side, pictures: { id: base64 of a byte of ink for each pixel } }. */
export async function loadPictures(ids) {
    return (await ask('pictures', { method: 'POST', body: JSON.stringify({ tokens: ids }) })).json();
}

/* The events of a streamed answer, as objects. */
export async function* events(path, body, signal) {
    const response = await ask(path, { method: 'POST', body: JSON.stringify(body), signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        const blocks = (rest + value).split('\n\n');
        rest = blocks.pop();
        for (const block of blocks) {
            if (!block.startsWith('data: ') || block === 'data: [DONE]') continue;
            const event = JSON.parse(block.slice(6));
            if (event.error) throw new Error(event.error.message);
            yield event;
        }
    }
}
