/* The page: which conversation is shown, and answers under way. An answer belongs to its conversation, whatever
 * is shown meanwhile. */
import { $, button, download, make, notice } from './dom.js';
import * as api from './api.js';
import * as store from './store.js';
import { isKept, keep, restore, wishes } from './settings.js';
import { closePanel, inspect, legend, repaint } from './tokens.js';
import { bodyOf, followEnd, showAnswer, showConversation } from './view.js';

let shown = null;           /* the conversation on the page */
let editing = null;         /* the turn of it that is written anew */
const running = new Map();  /* conversation id: { abort, turn } */

const under = conversation => running.get(conversation.id);

/* ---- the list ---- */

function showList() {
    $('list').replaceChildren(...store.sorted().map(conversation => {
        const name = store.title(conversation);
        const item = make('li', {}, button(name, name, () => show(conversation), 'name'),
                          button('×', `Remove "${name}"`, () => removeOne(conversation), 'remove'));
        item.classList.toggle('shown', conversation === shown);
        item.classList.toggle('busy', Boolean(under(conversation)));
        return item;
    }));
}

function removeOne(conversation) {
    if (!confirm(`Remove "${store.title(conversation)}"? It cannot be brought back.`)) return;
    under(conversation)?.abort.abort();
    store.remove(conversation);
    if (conversation === shown) anew(conversation.mode);
    else showList();
}

/* ---- the conversation ---- */

function draw() {
    showConversation(shown, under(shown)?.turn || null, actions);
    $('send').textContent = under(shown) ? 'Stop' : shown.mode === 'chat' ? 'Send' : 'Continue';
    if (store.trouble) notice(store.trouble);
    document.body.dataset.busy = Boolean(under(shown));
    showList();
}

function show(conversation) {
    shown = conversation;
    endEdit();
    closePanel();
    sideOnPhone(false);
    $('speed').textContent = '';
    try {
        sessionStorage.setItem('cambium.shown', conversation.id);
    } catch { /* the newest one is shown next time */ }
    draw();
    followEnd(true);
}

function anew(mode) {
    notice();
    show(store.create(mode, mode === 'chat' ? $('system').value : '', api.model ? api.model.id : ''));
    $('input').focus();
}

/* ---- asking ---- */

/* What a chat's request says: questions that got no answer are left out, but for the last. */
function messagesOf(conversation, turn) {
    const messages = conversation.system ? [{ role: 'system', content: conversation.system }] : [];
    const until = conversation.turns.indexOf(turn);
    for (let i = 0; i < until; i++) {
        const one = conversation.turns[i], next = conversation.turns[i + 1];
        if (one.role === 'assistant') {
            const { content } = store.version(one);
            if (content) messages.push({ role: 'assistant', content });
        } else if (i + 1 === until || next.role === 'assistant' && store.version(next).content) {
            messages.push({ role: 'user', content: one.content });
        }
    }
    return messages;
}

function requestFor(conversation, turn, goesOn) {
    const sofar = goesOn ? store.version(turn).content : '';
    if (conversation.mode === 'text')
        return ['v1/completions', { ...wishes(), prompt: turn.prompt + sofar, logprobs: 5 }];
    const messages = messagesOf(conversation, turn);
    const on = goesOn ? { continue_final_message: true, add_generation_prompt: false } : {};
    if (goesOn) messages.push({ role: 'assistant', content: sofar });
    return ['v1/chat/completions', { ...wishes(), ...on, messages, logprobs: true, top_logprobs: 5 }];
}

function showSpeed(tokens, asked, first, now) {
    const rate = tokens > 1 ? `${((tokens - 1) / ((now - first) / 1000)).toFixed(1)} tokens/s, ` : '';
    $('speed').textContent = `${tokens} tokens, ${rate}first after ${((first - asked) / 1000).toFixed(2)} s`;
}

/* Takes a choice's news into the answer; returns how many tokens came. */
function take(answer, choice) {
    const fresh = choice.delta ? choice.delta.content || '' : choice.text;
    let at = answer.content.length;
    for (const token of choice.tokens || []) {
        answer.tokens.push({ ...token, at });
        at += token.adds.length;
    }
    answer.content += fresh;
    if (choice.finish_reason) answer.finish = choice.finish_reason;
    return (choice.tokens || []).length;
}

async function write(conversation, turn, goesOn) {
    const answer = store.version(turn), abort = new AbortController();
    const [path, body] = requestFor(conversation, turn, goesOn);
    running.set(conversation.id, { abort, turn });
    answer.error = answer.finish = '';
    store.save(conversation);
    if (conversation === shown) { draw(); followEnd(true); }
    const asked = performance.now();
    let first = 0, count = 0, kept = asked;
    try {
        for await (const event of api.events(path, body, abort.signal)) {
            for (const choice of event.choices) count += take(answer, choice);
            const now = performance.now();
            if (count) first ||= now;
            if (now - kept > 2000) { store.save(conversation); kept = now; }
            if (conversation !== shown) continue;
            const box = bodyOf(turn);
            if (box && store.version(turn) === answer) showAnswer(box, answer, conversation.mode);
            if (first) showSpeed(count, asked, first, now);
            followEnd();
        }
        /* A server that goes away ends the stream without a reason. */
        if (!answer.finish) answer.error = 'The answer broke off: the server closed the connection.';
    } catch (error) {
        if (error.name === 'AbortError') answer.finish = 'stopped';
        else answer.error = error.message;
    }
    running.delete(conversation.id);
    store.save(conversation);
    if (conversation === shown) draw();
    else showList();
    document.body.dataset.answered = Number(document.body.dataset.answered || 0) + 1;
}

function ask(conversation, text) {
    let turn = { role: 'text', prompt: text, versions: [], at: 0 };
    if (conversation.mode === 'chat') {
        conversation.turns.push({ role: 'user', content: text });
        turn = { role: 'assistant', versions: [], at: 0 };
    }
    conversation.turns.push(turn);
    store.newVersion(turn);
    return write(conversation, turn, false);
}

/* ---- what one can do with turns ---- */

const actions = {
    retry(turn) {
        store.newVersion(turn);
        write(shown, turn, false);
    },
    goOn(turn) { write(shown, turn, true); },
    turnTo(turn, at) {
        turn.at = at;
        store.save(shown);
        draw();
    },
    edit(turn) {
        editing = turn;
        $('input').value = turn.content ?? turn.prompt;
        notice('You write this message anew; Esc leaves it as it was.');
        grow();
        $('input').focus();
    },
};

function endEdit() {
    if (!editing) return false;
    editing = null;
    $('input').value = '';
    notice();
    grow();
    return true;
}

/* A message that is written anew begins a copy of the conversation there; the old one stays. */
function submitEdit(text) {
    const copied = store.fork(shown, shown.turns.indexOf(editing));
    endEdit();
    show(copied);
    ask(copied, text);
}

function submit() {
    if (under(shown)) {
        under(shown).abort.abort();
        return;
    }
    const text = $('input').value;
    if (!text) return;
    notice();
    if (editing) {
        submitEdit(text);
        return;
    }
    $('input').value = '';
    grow();
    ask(shown, text);
}

/* ---- the rest of the page ---- */

function grow() {
    const box = $('input');
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight + 2}px`;
}

const isPhone = () => matchMedia('(max-width: 760px)').matches;

function side(open) {
    document.body.classList.toggle('no-side', !open);
    $('menu').setAttribute('aria-expanded', open);
}

function sideOnPhone(open) {
    if (isPhone()) side(open);
}

/* Esc ends what is nearest: a sheet, an edit, the answer. */
function escape() {
    if ($('settings').open) return;
    if (isPhone() && !document.body.classList.contains('no-side')) side(false);
    else if (endEdit()) return;
    else if (under(shown)) under(shown).abort.abort();
    else closePanel();
}

async function loadModel() {
    try {
        const model = await api.loadModel();
        const several = model.experts.length > 1 ? `, ${model.experts.length} experts (${model.rule})` : '';
        $('model').textContent = `${model.id}${several}, context ${model.max_model_len}`;
        if (several && !isKept('colour')) $('colour').value = 'expert';
        $('form-of').querySelector('[value=glyphs]').hidden = !model.pictures;
        if (!shown.model) shown.model = model.id;
        draw();
        legend();
    } catch (error) {
        $('model').textContent = error.message;
        if (!$('settings').open) $('settings').showModal();
    }
}

async function importFile(event) {
    const file = event.target.files[0];
    event.target.value = '';
    if (!file) return;
    try {
        const count = store.imported(await file.text());
        notice(store.trouble || `${count} ${count === 1 ? 'conversation' : 'conversations'} read from ${file.name}.`);
    } catch (error) {
        notice(`${file.name}: ${error.message}`);
    }
    showList();
}

function listen() {
    $('form').addEventListener('submit', event => { event.preventDefault(); submit(); });
    $('input').addEventListener('input', grow);
    $('input').addEventListener('keydown', event => {
        if (event.key !== 'Enter' || event.shiftKey || event.isComposing || shown.mode !== 'chat' || isPhone()) return;
        event.preventDefault();
        submit();
    });
    document.addEventListener('keydown', event => { if (event.key === 'Escape') escape(); });
    $('new-chat').addEventListener('click', () => anew('chat'));
    $('new-text').addEventListener('click', () => anew('text'));
    $('menu').addEventListener('click', () => side(document.body.classList.contains('no-side')));
    $('scroll').addEventListener('pointerdown', () => sideOnPhone(false));
    $('open-settings').addEventListener('click', () => $('settings').showModal());
    $('settings').addEventListener('close', () => { keep(); draw(); });
    $('key').addEventListener('change', loadModel);
    $('colour').addEventListener('change', () => { keep(); repaint(); legend(); });
    for (const id of ['theme', 'form-of']) $(id).addEventListener('change', () => { keep(); draw(); });
    $('export').addEventListener('click', () => download('cambium-conversations.json', store.exported()));
    $('import').addEventListener('click', () => $('import-file').click());
    $('import-file').addEventListener('change', importFile);
    for (const kind of ['pointerover', 'focusin', 'click'])
        $('log').addEventListener(kind, event => inspect(event.target.closest('.token'), kind === 'click'));
    addEventListener('pagehide', () => { for (const id of running.keys()) if (store.conversations.has(id)) store.save(store.conversations.get(id)); });
    addEventListener('storage', event => {
        const id = store.idOf(event);
        if (!id || running.has(id)) return;
        store.reread(id);
        if (id === shown.id && store.conversations.has(id)) shown = store.conversations.get(id);
        draw();
    });
}

function begin() {
    restore();
    store.load();
    side(!isPhone());
    listen();
    let last = null;
    try {
        last = store.conversations.get(sessionStorage.getItem('cambium.shown'));
    } catch { /* begins anew */ }
    if (last) show(last);
    else anew('chat');
    loadModel();
}

begin();
