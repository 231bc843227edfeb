/* Conversations, kept in the browser: one entry of local storage each, so that two windows do not write over
 * each other's.
 *
 * A conversation: { id, mode: 'chat' | 'text', system, model, created, changed, turns }. A turn of a chat is
 * { role: 'user', content } or { role: 'assistant', versions: [version], at }; a turn of completions is
 * { role: 'text', prompt, versions, at }. A version is { content, finish, error, tokens }: `tokens` has the
 * colours and alternatives and is not stored, because a long answer's would fill the store. */
const prefix = 'cambium.conversation.';
const format = { format: 'cambium-conversations', version: 1 };

export const conversations = new Map();

/* Why the last write failed, or ''. */
export let trouble = '';

const unique = () => `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;

export const version = turn => turn.versions[turn.at];

export function newVersion(turn) {
    turn.versions.push({ content: '', finish: '', error: '', tokens: [] });
    turn.at = turn.versions.length - 1;
    return version(turn);
}

export function create(mode, system, model) {
    const now = Date.now();
    const conversation = { id: unique(), mode, system, model, created: now, changed: now, turns: [] };
    conversations.set(conversation.id, conversation);
    return conversation;
}

/* The same turns up to `count` of them, as a conversation of its own. */
export function fork(conversation, count) {
    const copy = create(conversation.mode, conversation.system, conversation.model);
    copy.turns = conversation.turns.slice(0, count).map(turn => ({
        ...turn, ...(turn.versions && { versions: turn.versions.map(v => ({ ...v })) }) }));
    return copy;
}

export function title(conversation) {
    const first = conversation.turns[0];
    const text = (first && (first.content || first.prompt) || '').trim().split('\n')[0];
    return text.slice(0, 60) || (conversation.mode === 'chat' ? 'New chat' : 'New completion');
}

const bare = conversation => ({
    ...conversation,
    turns: conversation.turns.map(turn => turn.versions
        ? { ...turn, versions: turn.versions.map(({ content, finish, error }) => ({ content, finish, error })) } : turn) });

/* Those without a word are not worth keeping. */
export function save(conversation) {
    if (!conversation.turns.length || !conversations.has(conversation.id)) return;
    conversation.changed = Date.now();
    try {
        localStorage.setItem(prefix + conversation.id, JSON.stringify(bare(conversation)));
        trouble = '';
    } catch (error) {
        trouble = `This browser does not keep the conversation (${error.name}): export it, or remove old ones.`;
    }
}

export function remove(conversation) {
    conversations.delete(conversation.id);
    try {
        localStorage.removeItem(prefix + conversation.id);
    } catch { /* a browser without storage has nothing to remove */ }
}

const isText = x => typeof x === 'string';

/* A conversation from JSON that anybody may have written, or null. */
function checked(from) {
    if (!from || typeof from !== 'object' || !isText(from.id) || !['chat', 'text'].includes(from.mode) ||
        !Array.isArray(from.turns)) return null;
    const turns = [];
    for (const turn of from.turns) {
        if (!turn || typeof turn !== 'object') return null;
        if (turn.role === 'user' && isText(turn.content)) {
            turns.push({ role: 'user', content: turn.content });
            continue;
        }
        if (!(turn.role === 'assistant' || turn.role === 'text' && isText(turn.prompt)) || !Array.isArray(turn.versions) ||
            !turn.versions.length || !turn.versions.every(v => v && isText(v.content))) return null;
        const versions = turn.versions.map(v => ({
            content: v.content, finish: isText(v.finish) ? v.finish : '', error: isText(v.error) ? v.error : '', tokens: [] }));
        const at = Number.isInteger(turn.at) && turn.at >= 0 && turn.at < versions.length ? turn.at : versions.length - 1;
        turns.push({ role: turn.role, ...(turn.role === 'text' && { prompt: turn.prompt }), versions, at });
    }
    return {
        id: from.id, mode: from.mode, system: isText(from.system) ? from.system : '', model: isText(from.model) ? from.model : '',
        created: Number(from.created) || 0, changed: Number(from.changed) || 0, turns };
}

function read(key) {
    try {
        return checked(JSON.parse(localStorage.getItem(key)));
    } catch {
        return null;
    }
}

export function load() {
    try {
        for (const key of Object.keys(localStorage).filter(k => k.startsWith(prefix))) {
            const conversation = read(key);
            if (conversation) conversations.set(conversation.id, conversation);
        }
    } catch { /* without storage there is nothing to load; save() says so */ }
}

/* The conversation that a storage event is about, or ''. */
export const idOf = event => event.key && event.key.startsWith(prefix) ? event.key.slice(prefix.length) : '';

/* Takes over what another window wrote or removed. */
export function reread(id) {
    const conversation = read(prefix + id);
    if (conversation) conversations.set(id, conversation);
    else conversations.delete(id);
}

export const sorted = () => [...conversations.values()].filter(c => c.turns.length).sort((a, b) => b.changed - a.changed);

export const exported = () => JSON.stringify({ ...format, conversations: sorted().map(bare) }, null, 1);

/* Adds the conversations of an exported file; returns how many. One that is here already is replaced when the
 * file's is newer. */
export function imported(text) {
    const file = JSON.parse(text);
    if (!file || file.format !== format.format || file.version !== format.version || !Array.isArray(file.conversations))
        throw new Error('this file does not hold conversations of Cambium (format cambium-conversations, version 1)');
    const all = file.conversations.map(checked);
    if (all.includes(null)) throw new Error(`conversation ${all.indexOf(null) + 1} of the file is damaged; nothing was read`);
    let count = 0;
    for (const conversation of all) {
        const here = conversations.get(conversation.id);
        if (here && here.changed >= conversation.changed) continue;
        const { changed } = conversation;
        conversations.set(conversation.id, conversation);
        save(conversation);
        conversation.changed = changed;
        count++;
    }
    return count;
}
