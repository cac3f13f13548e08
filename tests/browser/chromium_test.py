"""The helper chromium.py itself: it sees values, files, keys and errors of a page."""
import os
import tempfile
import unittest

import chromium

PAGE = """<!doctype html><meta charset=utf-8><title>p</title><div id=d style="height:90px">drop</div><input id=f type=file>
<button id=b>b</button><script>
const seen = []; d.ondragover = e => e.preventDefault();
d.ondrop = e => { e.preventDefault(); seen.push('drop ' + e.dataTransfer.files[0].name); };
f.onchange = () => seen.push('file ' + f.files[0].name); b.onclick = () => seen.push('click');
</script>"""


class Helper(unittest.TestCase):
    def setUp(self):
        chromium.require()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "page.html")
        with open(self.path, "w") as file:
            file.write(PAGE)

    def test_what_a_user_does_reaches_the_page(self):
        with chromium.Chromium(width=640, height=480) as browser:
            browser.open("file://" + self.path)
            self.assertEqual(browser.evaluate("document.title"), "p")
            browser.drop_files("#d", [self.path])
            browser.choose_files("#f", [self.path])
            browser.click("#b")
            browser.evaluate("b.focus()")
            browser.press("Enter")
            browser.wait_for("seen.length === 4")
            self.assertEqual(browser.evaluate("seen"), ["drop page.html", "file page.html", "click", "click"])
            self.assertEqual(browser.problems(), [])
            browser.screenshot(self.path + ".png")
            with open(self.path + ".png", "rb") as file:
                self.assertEqual(file.read(4), b"\x89PNG")

    def test_errors_are_seen(self):
        with chromium.Chromium(timeout=20) as browser:
            browser.open("file://" + self.path)
            browser.evaluate("setTimeout(() => { throw new Error('thrown') }, 0); console.error('said'); 0")
            browser.evaluate("new Promise(done => { const i = new Image(); i.onerror = () => done(0); i.src = 'absent.png' })")
            seen = " | ".join(browser.problems())
            for part in ("thrown", "said", "absent.png"):
                self.assertIn(part, seen)
            self.assertEqual([os.path.basename(url) for url in browser.requests()], ["page.html", "absent.png"])
            with self.assertRaises(chromium.BrowserError):
                browser.evaluate("absent.variable")


if __name__ == "__main__":
    unittest.main()
