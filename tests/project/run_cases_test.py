"""tests/run_cases.py: what fails is never reported as skipped."""
import os
import subprocess
import sys
import tempfile
import unittest

RUN_CASES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "run_cases.py")
SCRIPT = """
import unittest

class Mixed(unittest.TestCase):
    def test_skipped(self):
        self.skipTest("no such program")

    def test_failing(self):
        self.fail()

class Skipped(unittest.TestCase):
    def test_skipped(self):
        self.skipTest("no such program")

class Passing(unittest.TestCase):
    def test_passing(self):
        print("skipped=1 is only a text here")
"""


class RunCases(unittest.TestCase):
    def test_exit_codes(self):
        with tempfile.TemporaryDirectory() as folder:
            script = os.path.join(folder, "cases_of_a_test.py")
            with open(script, "w") as file:
                file.write(SCRIPT)
            for words, code in ((["Mixed"], 1), (["Skipped"], 77), (["Passing"], 0), ([], 1), (["Mixed.test_skipped"], 77)):
                done = subprocess.run([sys.executable, RUN_CASES, script, *words, "-v"], capture_output=True)
                self.assertEqual(done.returncode, code, (words, done.stderr))


if __name__ == "__main__":
    unittest.main()
