"""Headless Chromium for tests, through the DevTools protocol over a pipe. Standard library only.

    with Chromium() as browser:
        browser.open("http://127.0.0.1:8080/")
        browser.wait_for("document.querySelectorAll('figure').length > 0")
        browser.drop_files("#drop", ["/path/to/image.png"])
        assert browser.problems() == []

The program is SWATH_CHROMIUM, or chromium, chromium-browser, google-chrome on the PATH. `require()` skips a test where there is
none, and fails it with CI=true.
"""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import unittest


class BrowserError(Exception):
    pass


def program():
    for name in (os.environ.get("SWATH_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and shutil.which(name):
            return shutil.which(name)
    return None


def require():
    """Skips the running test without a browser; with CI=true that is a failure."""
    if program():
        return
    if os.environ.get("CI") == "true":
        raise BrowserError("no Chromium: install chromium, or set SWATH_CHROMIUM")
    raise unittest.SkipTest("no Chromium (package chromium, or SWATH_CHROMIUM)")


class Chromium:
    """One browser with one page. Every wait ends after `timeout` seconds with BrowserError."""

    def __init__(self, width=1200, height=900, dark=False, timeout=60):
        self.timeout, self.next_id, self.buffer, self.found, self.asked = timeout, 1, b"", [], []
        self.profile = tempfile.mkdtemp(prefix="swath-chromium-")
        words = [program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars",
                 f"--window-size={width},{height}", "--user-data-dir=" + self.profile, "--remote-debugging-pipe", "about:blank"]
        # The browser reads commands from descriptor 3 and writes answers to descriptor 4.
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self.reader, self.writer = ours_in, ours_out
        shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(["/bin/bash", "-c", shell, *words], pass_fds=(theirs_in, theirs_out),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.session = None
        try:
            self.attach(width, height, dark)
        except BaseException:
            self.close()
            raise

    def attach(self, width, height, dark):
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next((t["targetId"] for t in targets if t["type"] == "page"), None)
        page = page or self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.send(domain + ".enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for descriptor in (self.writer, self.reader):
            try:
                os.close(descriptor)
            except OSError:
                pass
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def send(self, method, **params):
        """One command of the protocol and its result."""
        message = {"id": self.next_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.next_id += 1
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self.timeout
        while True:
            answer = self.receive(deadline, method)
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def receive(self, deadline, what):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reader], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self.reader, 1 << 16) if ready else b""
            if not piece:
                raise BrowserError(f"{what}: Chromium " + ("ended" if ready else f"gave no answer in {self.timeout} s"))
            self.buffer += piece
        whole, self.buffer = self.buffer.split(b"\0", 1)
        answer = json.loads(whole)
        self.note(answer)
        return answer

    def note(self, event):
        """Keeps what a developer would see in red: errors of the console, uncaught exceptions, failed loads, refusals by the CSP."""
        params = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        if event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.found.append(details.get("exception", {}).get("description") or details["text"])
        elif event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.found.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif event.get("method") == "Page.javascriptDialogOpening":
            self.found.append("dialog: " + params["message"])

    def problems(self):
        """What has gone wrong since the start or the last clear_problems()."""
        self.evaluate("0")  # the events before this answer have been read
        return list(self.found)

    def requests(self):
        """The addresses of everything that was asked for, the pages themselves included."""
        self.evaluate("0")
        return list(self.asked)

    def clear_problems(self):
        self.problems()
        self.found.clear()

    def open(self, url):
        failed = self.send("Page.navigate", url=url).get("errorText")
        if failed:
            raise BrowserError(f"{url}: {failed}")
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression):
        """The value of an expression in the page; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait_for(self, expression):
        deadline = time.monotonic() + self.timeout
        while not self.evaluate(expression):
            if time.monotonic() > deadline:
                raise BrowserError(f"still false after {self.timeout} s: {expression}; the page reads: "
                                   + str(self.evaluate("document.body.innerText"))[:500])
            time.sleep(0.05)

    def centre(self, selector):
        box = self.evaluate(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null;"
                            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
                            " return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        if not box:
            raise BrowserError(f"no element {selector}")
        return {"x": box[0], "y": box[1]}

    def drop_files(self, selector, paths):
        """Drags files from outside the browser onto an element and lets them fall."""
        place = self.centre(selector)
        data = {"items": [], "files": [os.path.abspath(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, data=data, **place)

    def choose_files(self, selector, paths):
        """Puts files into an <input type=file>."""
        node = self.send("DOM.querySelector", nodeId=self.send("DOM.getDocument")["root"]["nodeId"], selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[os.path.abspath(path) for path in paths], nodeId=node)

    def click(self, selector):
        place = self.centre(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def press(self, key):
        """A key: Tab, Enter, Escape, or a letter. Shift is not held."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key.upper()[0]))}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path, whole_page=False):
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
