"""The web page in a real browser: browser.py CHROMIUM URL FOLDER.

Drives headless Chromium over its debugging pipe: writes, reads what the page shows, points at tokens,
and leaves screenshots (wide and phone, light and dark) in FOLDER. Prints one line for each check,
"ok - ..." or "not ok - ...". Needs nothing but Python. Run by tests/cli/serve_page.sh.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import time

chromium, url, folder = sys.argv[1:4]
bad = 0


def check(what, condition, why=""):
    global bad
    print(f"{'ok' if condition else 'not ok'} - {what}" + ("" if condition else f"\n# {why}"), flush=True)
    bad += not condition


class Browser:
    """Chrome's DevTools protocol: JSON objects that end with a zero byte, in by fd 3, out by fd 4."""

    def __init__(self, profile):
        to_browser, self.out = os.pipe()
        self.back, from_browser = os.pipe()
        def place():
            # Duplicates first: either end may be 3 or 4 itself.
            a, b = os.dup(to_browser), os.dup(from_browser)
            os.dup2(a, 3)
            os.dup2(b, 4)
        self.process = subprocess.Popen(
            [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=place, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.rest, self.number, self.session, self.events = b"", 0, None, []

    def read(self):
        while b"\0" not in self.rest:
            data = os.read(self.back, 1 << 16)
            if not data:
                raise SystemExit("not ok - the browser runs\n# it ended")
            self.rest += data
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"not ok - {method}\n# {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            return f"exception: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, script, seconds=60):
        until = time.time() + seconds
        while time.time() < until:
            if self.evaluate(script) is True:
                return True
            time.sleep(0.1)
        return False

    def size(self, width, height, phone):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)

    def point(self, selector):
        spot = self.evaluate(f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: 'center'}}); const r = e.getClientRects()[0];
            return [r.x + r.width / 2, r.y + r.height / 2]; }})()""")
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=spot[0], y=spot[1])
        return spot

    def click(self, selector):
        x, y = self.point(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def write(self, text):
        self.call("Input.insertText", text=text)

    def key(self, name, code):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def set(self, setting, value):
        """A setting, as the dialog leaves it."""
        self.evaluate(f"""(() => {{ const e = document.getElementById({json.dumps(setting)});
            e.value = {json.dumps(value)}; e.dispatchEvent(new Event('change')); }})()""")

    def press(self, name):
        """The first button of this name below a turn."""
        self.evaluate(f"[...document.querySelectorAll('.tools button')].find(x => x.textContent === {json.dumps(name)}).click()")

    def say(self, text):
        self.click("#input")
        self.write(text)
        self.click("#send")

    def answered(self, seconds=60):
        return self.wait("document.body.dataset.busy === 'false'", seconds)

    def accept(self):
        """Answers the question that the page is about to ask with yes."""
        self.evaluate("window.confirm = () => true")

    def shoot(self, name):
        image = self.call("Page.captureScreenshot", format="png")["data"]
        with open(os.path.join(folder, name), "wb") as file:
            file.write(base64.b64decode(image))


def overflow(b):
    return b.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


# What the page keeps, and what it shows: the last answer's text, and the conversations as the store has them.
SHOWN = "[...document.querySelectorAll('.turn.reply')].at(-1).querySelector('.body:not(.prompt)').textContent"
STORED = "Object.keys(localStorage).filter(k => k.startsWith('cambium.conversation.')).map(k => JSON.parse(localStorage[k]))"
NEWEST = STORED + ".sort((a, b) => b.changed - a.changed)[0]"
LAST = f"({NEWEST}.turns.at(-1).versions.at(-1).content)"


def opening(b):
    check("the page names the model", b.wait("/context \\d+/.test(document.querySelector('#model')?.textContent)"),
          b.evaluate("document.body?.innerText"))
    experts = b.evaluate("import('./page/api.js').then(m => m.model.experts.length)")
    check("and its experts", b.evaluate("document.querySelectorAll('#legend i').length") == (experts if experts > 1 else 3))
    return experts


def chatting(b, experts):
    b.set("ignore_eos", "1")  # answers of a known length
    b.set("max_tokens", "60")
    b.set("form-of", "plain")
    b.click("#input")
    b.write("1 2 3")
    b.key("Enter", 13)
    check("an answer comes", b.wait("document.body.dataset.answered === '1'"), b.evaluate("document.body.innerText"))
    tokens = b.evaluate("document.querySelectorAll('.reply .token').length")
    check("as tokens", tokens > 5, tokens)
    check("that say all that was written", b.evaluate(f"{SHOWN} === {LAST}"), b.evaluate(f"[{SHOWN}, {LAST}]"))
    check("with its speed", b.wait("/tokens\\/s/.test(document.querySelector('#speed').textContent)"))
    b.point(".reply .token:nth-of-type(3)")
    check("pointing opens no panel", b.evaluate("document.querySelector('#token').hidden"))
    b.click(".reply .token:nth-of-type(3)")
    check("a touched token tells its probability", b.wait("document.querySelectorAll('#token .bars').length > 0"),
          b.evaluate("document.querySelector('#token').innerText"))
    check("what else there was", b.evaluate("document.querySelectorAll('#token .bars')[0].children.length") == 15)
    if experts > 1:
        check("and which expert carried it", b.evaluate(
            "document.querySelectorAll('#token .bars')[1].children.length") == 3 * experts)
        check("as its colour does", b.evaluate(
            "[...document.querySelectorAll('.token')].some(t => t.style.background.includes('color-mix'))"))
    check("the conversation stands above the input", b.evaluate("""(() => {
        const a = document.querySelector('#log').getBoundingClientRect(), f = document.querySelector('#form').getBoundingClientRect();
        return Math.abs(a.left - f.left) < 2 && Math.abs(a.right - f.right) < 2; })()"""))
    b.shoot("wide-light.png")
    b.click("#token .close")
    check("the panel closes", b.evaluate("document.querySelector('#token').hidden"))
    b.set("theme", "dark")
    check("the theme turns", b.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 21)")
    return tokens


def pictures(b, tokens):
    """Glyphs are the model's own: the picture of a token says what the token says."""
    b.set("form-of", "glyphs")
    check("tokens show as glyphs", b.evaluate("document.querySelectorAll('.reply .token canvas').length") == tokens)
    ink = """[...document.querySelectorAll('.reply .token')].map(t => { const c = t.firstChild;
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
        for (let i = 0; i < d.length; i += 4) n += d[i] < 100; return n; })"""
    check("with ink on paper", b.wait(f"(() => {{ const n = {ink}; return n.filter(x => x > 3 && x < 512).length > 0.8 * n.length; }})()"),
          b.evaluate(ink))
    b.shoot("wide-dark-glyphs.png")
    b.click(".reply .token:nth-of-type(3)")
    check("and so in the panel", b.wait("document.querySelector('#token canvas')?.width === 32"))
    b.click("#token .close")
    b.set("form-of", "plain")


def belonging(b):
    """An answer belongs to its conversation, whatever is pressed meanwhile."""
    b.set("max_tokens", "3000")
    b.click("#new-chat")
    b.say("first question")
    check("a long answer begins", b.wait("document.querySelectorAll('.reply .token').length > 3"))
    b.click("#new-chat")
    check("New shows an empty conversation", b.evaluate("document.querySelectorAll('.turn').length") == 0)
    b.set("max_tokens", "20")
    b.say("second question")
    check("which is answered beside the first", b.answered(), b.evaluate("document.body.innerText"))
    second = b.evaluate("document.querySelectorAll('.turn.user').length")
    b.wait("!document.querySelector('#list .busy')", 120)
    both = b.evaluate(STORED + ".map(c => c.turns.map(t => [t.role, t.content ?? '', (t.versions || []).length]))")
    check("and each answer stands in its own", second == 1 and all(
        [turn[0] for turn in one] == ["user", "assistant"] for one in both), both)
    asked = [e["params"]["request"]["postData"] for e in b.events
             if e["method"] == "Network.requestWillBeSent" and "second question" in e["params"]["request"].get("postData", "")]
    check("the second request says nothing of the first", len(asked) == 1 and "first question" not in asked[0] and
          [m["role"] for m in json.loads(asked[0])["messages"]] == ["user"], asked)


def going_on(b, turns):
    before = b.evaluate(LAST)
    b.set("max_tokens", "10")
    b.press("Continue")
    b.answered()
    after = b.evaluate(LAST)
    check("and goes on where it ends", after.startswith(before) and len(after) > len(before),
          [before[-40:], after[-80:], b.evaluate("document.querySelector('.error')?.textContent"), b.evaluate(NEWEST)])
    check("in the same turn", b.evaluate("document.querySelectorAll('.turn').length") == turns)
    return after


def stopping(b):
    b.set("max_tokens", "")
    b.click("#new-chat")
    b.say("on and on")
    b.wait("document.querySelectorAll('.reply .token').length > 3")
    b.key("Escape", 27)
    check("Esc stops an answer", b.answered(10))
    check("which says so", b.evaluate("/stopped/.test([...document.querySelectorAll('.tools')].at(-1).textContent)"))
    after = going_on(b, 2)
    b.press("Retry")
    b.answered()
    check("a retry is a second version", b.evaluate(f"{NEWEST}.turns.at(-1).versions.length") == 2)
    b.press("‹")
    check("and the first is kept", b.evaluate(SHOWN) == after)


def editing(b):
    b.press("Edit")
    check("a message can be written anew", b.evaluate("document.querySelector('#input').value") == "on and on")
    b.key("Escape", 27)
    check("or not", b.evaluate("document.querySelector('#input').value") == "")
    count = b.evaluate(STORED + ".length")
    b.press("Edit")
    b.evaluate("document.querySelector('#input').value = 'and off'")
    b.click("#send")
    b.answered()
    check("in a copy: the old conversation stays", b.evaluate(STORED + ".length") == count + 1 and
          b.evaluate(STORED + ".filter(c => ['on and on', 'and off'].includes(c.turns[0].content)).length") == 2)


def failing(b):
    b.set("temperature", "9")
    b.click("#new-chat")
    b.say("x")
    check("errors are shown", b.wait("/temperature/.test(document.querySelector('.error')?.textContent)"))
    b.answered()
    b.set("temperature", "0.8")
    b.say("again")
    b.answered()
    asked = [json.loads(e["params"]["request"]["postData"]) for e in b.events
             if e["method"] == "Network.requestWillBeSent" and '"again"' in e["params"]["request"].get("postData", "")]
    check("no empty turn is sent after an error", asked and [m["content"] for m in asked[-1]["messages"]] == ["again"], asked[-1:])


def reloading(b):
    titles = "[...document.querySelectorAll('#list .name')].map(x => x.textContent)"
    before, shown = b.evaluate(titles), b.evaluate(SHOWN)
    b.call("Page.reload")
    check("conversations survive a reload", b.wait(f"(() => {{ try {{ return {SHOWN} === {json.dumps(shown)}; }} catch {{ return false; }} }})()"),
          b.evaluate("document.body.innerText"))
    check("all of them", b.evaluate(titles) == before, [before, b.evaluate(titles)])
    check("the API key is not among what is kept", b.evaluate("!JSON.stringify(localStorage).includes('key')"))
    file = b.evaluate("import('./page/store.js').then(s => s.exported())")
    kept = json.loads(file)
    check("they are exported as JSON", kept["format"] == "cambium-conversations" and len(kept["conversations"]) == len(before))
    b.accept()
    for _ in before:
        b.evaluate("document.querySelector('#list .remove').click()")
    check("removed ones are gone", b.evaluate(STORED + ".length") == 0 and b.evaluate(titles) == [])
    read = b.evaluate(f"import('./page/store.js').then(s => s.imported({json.dumps(file)}))")
    check("and come back from the file", read == len(before) and
          json.loads(b.evaluate("import('./page/store.js').then(s => s.exported())")) == kept, read)
    hostile = ['{}', '{"format":"cambium-conversations","version":1,"conversations":[{"id":"x","mode":"chat","turns":[{"role":"user"}]}]}']
    refused = [b.evaluate(f"import('./page/store.js').then(s => s.imported({json.dumps(text)})).catch(e => e.message)") for text in hostile]
    check("other files are refused", all(isinstance(r, str) for r in refused), refused)
    b.evaluate("localStorage.setItem('cambium.conversation.bad', '{\"id\":\"bad\",\"mode\":\"chat\",\"turns\":[null]}')")
    b.call("Page.reload")
    check("a damaged entry of the store harms nothing", b.wait("/context/.test(document.querySelector('#model')?.textContent)") and
          b.evaluate("document.querySelectorAll('#list li').length") == len(before))
    b.evaluate("localStorage.removeItem('cambium.conversation.bad')")


MARKDOWN = r"""# Head *one*
text with **bold _both_**, `a * b`, ~~old~~ and <img src=x onerror=alert(1)>
[safe](https://example.org/a) [unsafe](javascript:alert(1)) \*not\*

- one
  - inner
- two

3. three
4. four

> quoted
> `code`

| a | b |
|---|--:|
| 1 | x\|y |

```python
def f(x):
    return "**" + x
```
***
snake_case_name 2 * 3 * 4 **open
"""


def markdown(b):
    draw = """(async source => { const m = await import('./page/markdown.js'); const box = document.createElement('div');
        m.showMarkdown(box, source, (s, e) => [source.slice(s, e)]); return box; })"""
    html = b.evaluate(f"{draw}({json.dumps(MARKDOWN)}).then(x => x.innerHTML)")
    wanted = ["<h1>Head <em>one</em></h1>", "<strong>bold <em>both</em></strong>", "<code>a * b</code>", "<s>old</s>",
              "&lt;img src=x onerror=alert(1)&gt;", 'href="https://example.org/a"', "[unsafe](javascript:alert(1))", "*not*",
              "<ul><li><p>one</p><ul><li><p>inner</p></li></ul></li><li><p>two</p>", '<ol start="3"><li><p>three</p></li><li><p>four</p>',
              "<blockquote><p>quoted\n<code>code</code></p></blockquote>", "<th>a</th><th>b</th>", "<td>1</td><td>x|y</td>",
              "<span>python</span>", 'def f(x):\n    return "**" + x', "<hr>", "snake_case_name 2 * 3 * 4 **open"]
    missing = [text for text in wanted if text not in html]
    check("Markdown becomes elements", not missing, [missing, html])
    grown = b.evaluate(f"""(async source => {{ const m = await import('./page/markdown.js'); const box = document.createElement('div');
        for (let n = 0; n <= source.length; n++) m.showMarkdown(box, source.slice(0, n), (s, e) => [source.slice(s, e)]);
        return box.innerHTML; }})({json.dumps(MARKDOWN)})""")
    check("drawn letter by letter, the same ones", grown == html, grown)
    # Random texts: nothing throws, nothing but the renderer's elements appears, drawing is the same at any steps.
    odd = b.evaluate("""(async () => {
        const m = await import('./page/markdown.js');
        const parts = ['*', '**', '_', '`', '```', '\\n', '\\n\\n', '> ', '- ', '1. ', '| ', '|-|', '#', ' ', 'a', 'b c', '[x](https://y.z)', '~~', '\\\\', '<b>', '   ', 'ж', '😀', 'http://a.b/c'];
        let seed = 7;
        const random = n => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
        for (let round = 0; round < 400; round++) {
            let source = '';
            for (let i = random(60); i > 0; i--) source += parts[random(parts.length)];
            const whole = document.createElement('div'), grown = document.createElement('div');
            m.showMarkdown(whole, source, (s, e) => [source.slice(s, e)]);
            for (let at = 0; at < source.length; at = Math.min(source.length, at + 1 + random(5)))
                m.showMarkdown(grown, source.slice(0, at), (s, e) => [source.slice(s, e)]);
            m.showMarkdown(grown, source, (s, e) => [source.slice(s, e)]);
            if (whole.innerHTML !== grown.innerHTML) return ['differs', source, whole.innerHTML, grown.innerHTML];
            if (whole.querySelector('b, img, script')) return ['element', source];
        }
        return 'same'; })()""")
    check("random Markdown is drawn alike at once and as it grows", odd == "same", odd)
    slow = b.evaluate("""(async () => { const m = await import('./page/markdown.js'); const start = performance.now();
        for (const part of ['**a ', '[', '> ', '- ', '`', '*_', '|'])
            { const source = part.repeat(8000 / part.length); m.showMarkdown(document.createElement('div'), source, (s, e) => [source.slice(s, e)]); }
        return performance.now() - start; })()""")
    check("hostile Markdown takes no long time", isinstance(slow, (int, float)) and slow < 5000, slow)
    spans = b.evaluate("""(async () => { const t = await import('./page/tokens.js');
        const content = 'ab**cd**ef', tokens = []; let at = 0;
        for (const adds of ['ab*', '*c', 'd', '', '**ef']) { tokens.push({ at, adds, logprob: -1 }); at += adds.length; }
        const m = await import('./page/markdown.js'); const box = document.createElement('div');
        m.showMarkdown(box, content, t.leafOf(content, tokens));
        return [...box.querySelectorAll('.token')].map(s => [s.textContent, tokens.indexOf(s.token), s.parentNode.tagName]); })()""")
    check("tokens keep their places in Markdown",
          spans == [["ab", 0, "P"], ["c", 1, "STRONG"], ["d", 2, "STRONG"], ["ef", 4, "P"]], spans)


def phone(b):
    b.size(390, 844, True)
    b.call("Page.reload")
    b.wait("/context/.test(document.querySelector('#model')?.textContent)")
    check("a phone begins without the list", b.evaluate("getComputedStyle(document.querySelector('#side')).display") == "none")
    b.click("#menu")
    b.shoot("phone-list.png")
    b.click("#new-text")
    check("which closes behind a choice", b.evaluate("getComputedStyle(document.querySelector('#side')).display") == "none")
    b.set("max_tokens", "60")
    b.say("<b> 1 2 3 4 5 6")
    check("a completion on a phone", b.answered() and b.evaluate("document.querySelectorAll('.reply .token').length") > 5,
          b.evaluate("document.body.innerText"))
    going_on(b, 1)
    check("shows what was written as text", b.evaluate("document.querySelectorAll('.turn b').length") == 0)
    b.click(".reply .token")
    check("a touched token opens its sheet", b.evaluate("!document.querySelector('#token').hidden"))
    b.shoot("phone-dark.png")
    check("which leaves half of the page", b.evaluate(
        "document.querySelector('#token').getBoundingClientRect().top") >= 0.44 * 844)
    b.click("#token .close")
    check("and closes", b.evaluate("document.querySelector('#token').hidden"))
    check("fits the phone", overflow(b) <= 0, overflow(b))
    small = b.evaluate("""[...document.querySelectorAll('header button, footer button, #input')].filter(e => e.getClientRects().length)
        .map(e => [e.id, e.getBoundingClientRect().height]).filter(([, h]) => h < 36)""")
    check("its controls are large enough to touch", small == [], small)
    check("and to read", b.evaluate("parseFloat(getComputedStyle(document.querySelector('#input')).fontSize)") >= 16)
    b.click("#open-settings")
    check("settings are a sheet of their own", b.evaluate("document.querySelector('#settings').open") and overflow(b) <= 0)
    b.shoot("phone-settings.png")
    b.key("Escape", 27)
    b.wait("!document.querySelector('#settings').open", 5)
    check("the conversation keeps its room", b.evaluate("document.querySelector('#scroll').clientHeight") > 844 * 0.6)
    b.set("theme", "light")
    b.shoot("phone-light.png")
    b.size(1280, 800, False)


def quiet(b):
    trouble = [e for e in b.events if e["method"] == "Runtime.exceptionThrown" or
               e["method"] == "Log.entryAdded" and e["params"]["entry"]["level"] == "error"
               and "400" not in e["params"]["entry"]["text"]]
    check("nothing went wrong in the page", not trouble, trouble[:2])
    foreign = [e["params"]["request"]["url"] for e in b.events if e["method"] == "Network.requestWillBeSent"
               and not e["params"]["request"]["url"].startswith((url, "data:", "blob:"))]
    check("it asked no other server", not foreign, foreign)


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    b = Browser(profile)
    target = b.call("Target.createTarget", url="about:blank")["targetId"]
    b.session = b.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        b.call(domain + ".enable")
    b.size(1280, 800, False)
    b.call("Page.navigate", url=url)
    experts = opening(b)
    tokens = chatting(b, experts)
    if b.evaluate("import('./page/api.js').then(m => Boolean(m.model.pictures))"):
        pictures(b, tokens)
    for part in (belonging, stopping, editing, failing, reloading, markdown, phone, quiet):
        part(b)
    b.session = None
    b.call("Browser.close")
    b.process.wait(30)
sys.exit(bad > 0)
