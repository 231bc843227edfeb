/* A conversation on the page: turns, their tools, and answers as they grow. */
import { $, make, button, copy } from './dom.js';
import { model } from './api.js';
import { version } from './store.js';
import { showMarkdown } from './markdown.js';
import { glyphSpan, leafOf, tokenSpan } from './tokens.js';

/* Whether the reader is at the end and wants to stay there. */
let near = true;

export function followEnd(really = near) {
    near = really;
    if (near) $('scroll').scrollTop = $('scroll').scrollHeight;
}

$('scroll').addEventListener('scroll', () => {
    const box = $('scroll');
    near = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
});

const asGlyphs = () => $('form-of').value === 'glyphs' && model && model.pictures;

/* As written: only what is new is added. `box.drawn` is how many tokens and characters are there. */
function showPlain(box, { content, tokens }, span) {
    const drawn = box.drawn ||= { tokens: 0, characters: 0 };
    while (drawn.tokens < tokens.length) {
        const token = tokens[drawn.tokens++];
        if (token.at > drawn.characters) box.append(content.slice(drawn.characters, token.at));
        box.append(span(token, token.adds));
        drawn.characters = token.at + token.adds.length;
    }
    if (content.length > drawn.characters) box.append(content.slice(drawn.characters));
    drawn.characters = content.length;
}

/* Draws what a version holds now into its box. */
export function showAnswer(box, answer, mode) {
    const glyphs = asGlyphs(), markdown = !glyphs && mode === 'chat' && $('form-of').value === 'markdown';
    box.classList.toggle('md', markdown);
    box.classList.toggle('glyphs', Boolean(glyphs));
    if (markdown) showMarkdown(box, answer.content, leafOf(answer.content, answer.tokens));
    else showPlain(box, answer, glyphs ? glyphSpan : tokenSpan);
}

function versionTools(turn, actions) {
    if (turn.versions.length < 2) return [];
    const step = by => button(by < 0 ? '‹' : '›', by < 0 ? 'The answer before' : 'The next answer', () => actions.turnTo(turn, turn.at + by));
    const back = step(-1), on = step(1);
    back.disabled = turn.at === 0;
    on.disabled = turn.at === turn.versions.length - 1;
    return [back, make('span', { textContent: `${turn.at + 1} of ${turn.versions.length}` }), on];
}

/* What one can do with a turn; while an answer is written, nothing but copying. */
function tools(conversation, turn, last, busy, actions) {
    const box = make('div', { className: 'tools' });
    if (turn.role === 'user') {
        box.append(button('Copy', 'Copy this message', event => copy(turn.content, event.currentTarget)));
        if (!busy) box.append(button('Edit', 'Write this message anew', () => actions.edit(turn)));
        return box;
    }
    const answer = version(turn);
    box.append(button('Copy', 'Copy this answer', event => copy((turn.prompt || '') + answer.content, event.currentTarget)));
    if (busy) return box;
    if (turn.role === 'text') box.append(button('Edit', 'Change this beginning', () => actions.edit(turn)));
    if (last || turn.role === 'text') {
        box.append(button('Retry', 'Another answer', () => actions.retry(turn)));
        const cut = answer.finish === 'length' || answer.finish === 'stopped';
        if (answer.content || turn.role === 'text')
            box.append(button('Continue', 'Go on where this ends', () => actions.goOn(turn), cut ? 'offer' : ''));
        if (cut) box.append(make('span', { textContent: answer.finish === 'length' ? 'cut at the limit of tokens' : 'stopped' }));
    }
    box.append(...versionTools(turn, actions));
    return box;
}

/* A question that got no answer is not part of what the model reads later. */
const isLost = (turns, i) => turns[i].role === 'user' && i + 2 < turns.length && !version(turns[i + 1]).content;

function turnElement(conversation, i, busy, actions) {
    const { turns } = conversation, turn = turns[i], last = i === turns.length - 1;
    const kind = turn.role === 'user' ? 'user' : 'reply', body = make('div', { className: 'body' });
    const element = make('div', { className: `turn ${kind}${isLost(turns, i) ? ' lost' : ''}` }, body);
    element.turn = turn;
    if (turn.role === 'user') {
        body.append(turn.content);
    } else {
        const answer = version(turn);
        if (turn.role === 'text') {
            body.before(make('span', { className: 'body prompt', textContent: turn.prompt }));
            body.classList.add('inline');
        }
        showAnswer(body, answer, conversation.mode);
        if (answer.error) element.append(make('p', { className: 'error', textContent: answer.error }));
    }
    element.append(tools(conversation, turn, last, busy, actions));
    return element;
}

function hint(conversation) {
    if (conversation.mode === 'text') return 'Write a beginning; the model continues it.';
    return model && model.chat_template === 'none'
        ? 'This model knows no conversations: it continues lines of "user:" and "assistant:".' : 'Say something.';
}

/* Draws all of a conversation; `writing` is the turn whose answer is under way, or null. */
export function showConversation(conversation, writing, actions) {
    const { turns } = conversation;
    $('log').replaceChildren(...turns.map((_, i) => turnElement(conversation, i, Boolean(writing), actions)));
    if (!turns.length) $('log').append(make('p', { className: 'hint', textContent: hint(conversation) }));
}

/* The body of a turn that is on the page, or null. */
export function bodyOf(turn) {
    const element = [...$('log').children].find(e => e.turn === turn);
    return element ? [...element.querySelectorAll('.body')].at(-1) : null;
}
