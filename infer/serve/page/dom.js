/* Elements by id and elements from nothing. Text only ever becomes text nodes. */
export const $ = id => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
}

export function button(text, title, action, className = '') {
    return make('button', { type: 'button', textContent: text, title, className, onclick: action });
}

/* A message above the input; nothing: hides it. */
export function notice(text = '') {
    $('notice').textContent = text;
    $('notice').hidden = !text;
}

/* Puts text on the clipboard; browsers offer it only on https and on this machine, so else by a selection. */
export async function copy(text, from) {
    let done = true;
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        const area = make('textarea', { value: text });
        document.body.append(area);
        area.select();
        done = document.execCommand('copy');
        area.remove();
    }
    const before = from.textContent;
    from.textContent = done ? 'Copied' : 'Not copied';
    setTimeout(() => { from.textContent = before; }, 1200);
}

/* Hands the user a file. */
export function download(name, text) {
    const link = make('a', { download: name, href: URL.createObjectURL(new Blob([text], { type: 'application/json' })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
