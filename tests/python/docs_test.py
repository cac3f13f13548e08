"""The examples of docs/python.md run, and print what the page shows: the words exactly, numbers about, since roundings differ
between processors and every step goes on from the last."""
import contextlib
import io
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def has_torch():
    try:
        import torch  # noqa: F401
        return True
    except ImportError:
        return False


class DocsTest(unittest.TestCase):
    def test_examples(self):
        with open(os.path.join(ROOT, "docs/python.md"), encoding="utf-8") as file:
            page = file.read()
        blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", page, re.S)
        self.assertEqual(len(blocks), 2)
        names = {}
        for code, shown in blocks:
            if "import torch" in code and not has_torch():
                continue
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, "docs/python.md", "exec"), names)
            number = r"-?\d+\.?\d*"
            self.assertEqual(re.sub(number, "0", printed.getvalue()), re.sub(number, "0", shown))
            for got, page_has in zip(re.findall(number, printed.getvalue()), re.findall(number, shown)):
                self.assertAlmostEqual(float(got), float(page_has), delta=max(0.05, 0.2 * float(page_has)), msg=printed.getvalue())
        if has_torch():
            self.assertGreater(names["model"].weight.grad.abs().max().item(), 0)


if __name__ == "__main__":
    unittest.main()
