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

    def shoot(self, name):
        image = self.call("Page.captureScreenshot", format="png")["data"]
        with open(os.path.join(folder, name), "wb") as file:
            file.write(base64.b64decode(image))


def overflow(b):
    return b.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    b = Browser(profile)
    target = b.call("Target.createTarget", url="about:blank")["targetId"]
    b.session = b.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        b.call(domain + ".enable")
    b.size(1280, 800, False)
    b.call("Page.navigate", url=url)
    check("the page names the model", b.wait("/context \\d+/.test(document.querySelector('#model')?.textContent)"),
          b.evaluate("document.body?.innerText"))
    experts = b.evaluate("state.model.experts.length")
    check("and its experts", b.evaluate("document.querySelectorAll('#legend i').length") == (experts if experts > 1 else 3))

    b.evaluate("document.querySelector('#ignore_eos').value = '1'")  # answers of a known length
    b.click("#input")
    b.write("1 2 3")
    b.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    check("an answer comes", b.wait("document.body.dataset.answered === '1'"), b.evaluate("document.body.innerText"))
    tokens = b.evaluate("document.querySelectorAll('.reply .token').length")
    check("as tokens", tokens > 5, tokens)
    check("that say all that was written", b.evaluate(
        "document.querySelector('.reply').textContent.replace(/ …$/, '') === state.messages.at(-1).content"))
    check("with its speed", b.wait("/tokens\\/s/.test(document.querySelector('#speed').textContent)"))
    b.point(".reply .token:nth-of-type(3)")
    check("a token tells its probability", b.wait("document.querySelectorAll('#token .bars').length > 0"),
          b.evaluate("document.querySelector('#token').innerText"))
    check("what else there was", b.evaluate("document.querySelectorAll('#token .bars')[0].children.length") == 15)
    check("its picture", b.evaluate("""(() => { const c = document.querySelector('#token canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let ink = 0;
        for (let i = 0; i < d.length; i += 4) ink += d[i] === 0; return ink > 3 && ink < d.length / 8; })()"""))
    if experts > 1:
        check("and which expert carried it", b.evaluate(
            "document.querySelectorAll('#token .bars')[1].children.length") == 3 * experts)
        check("as its colour does", b.evaluate(
            "[...document.querySelectorAll('.token')].some(t => t.style.background.includes('color-mix'))"))
    b.shoot("wide-light.png")
    b.click("#glyphs")
    check("tokens show as glyphs", b.evaluate("document.querySelectorAll('.reply .token canvas').length") == tokens)
    b.click("#theme")
    b.shoot("wide-dark-glyphs.png")
    check("the theme turns", b.evaluate("getComputedStyle(document.body).backgroundColor") in
          ("rgb(20, 23, 21)", "rgb(251, 250, 247)"))
    b.click("#glyphs")

    b.size(390, 844, True)
    b.click("#mode-text")
    b.click("#input")
    b.write("<b> 1 2 3 4 5 6")
    b.click("#send")
    check("a completion on a phone", b.wait("document.body.dataset.answered === '2'"), b.evaluate("document.body.innerText"))
    check("shows what was written as text", b.evaluate("document.querySelectorAll('.turn b').length") == 0)
    b.click(".reply .token")
    check("fits the phone", overflow(b) <= 0, overflow(b))
    check("and its controls are large enough to read",
          b.evaluate("parseFloat(getComputedStyle(document.querySelector('#input')).fontSize)") >= 16)
    b.shoot("phone-dark.png")
    b.click("#theme")
    b.shoot("phone-light.png")

    b.size(1280, 800, False)
    b.evaluate("document.querySelector('#max_tokens').value = 100000")
    b.evaluate("document.querySelector('#mode-text').click(); document.querySelector('#input').value = 'on and on'; submit(); 0")
    check("a long answer begins", b.wait("document.querySelectorAll('.reply .token').length > 3"))
    b.evaluate("submit()")
    check("and is stopped", b.wait("document.body.dataset.answered === '3'"))
    b.evaluate("document.querySelector('#temperature').value = 9; document.querySelector('#input').value = 'x'; submit(); 0")
    check("errors are shown", b.wait("/temperature/.test(document.querySelector('.error')?.textContent)"))

    b.call("Runtime.evaluate", expression="0")
    trouble = [e for e in b.events if e["method"] == "Runtime.exceptionThrown" or
               e["method"] == "Log.entryAdded" and e["params"]["entry"]["level"] == "error"
               and "400" not in e["params"]["entry"]["text"]]
    check("nothing went wrong in the page", not trouble, trouble[:2])
    foreign = [e["params"]["request"]["url"] for e in b.events if e["method"] == "Network.requestWillBeSent"
               and not e["params"]["request"]["url"].startswith((url, "data:"))]
    check("it asked no other server", not foreign, foreign)
    b.session = None
    b.call("Browser.close")
    b.process.wait(30)
sys.exit(bad > 0)
