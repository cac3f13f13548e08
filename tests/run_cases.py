"""run_cases.py SCRIPT [ARGUMENTS of unittest]: runs the cases of a script of tests. Ends with 1 when one failed, else with 77, which
ctest reports as skipped, when one was skipped. Scripts find what is in their own folder and in tests/browser.
"""
import os
import sys
import unittest


def main():
    script = sys.argv[1]
    folder = os.path.dirname(os.path.abspath(script))
    sys.path[:0] = [folder, os.path.join(os.path.dirname(os.path.abspath(__file__)), "browser")]
    name = os.path.splitext(os.path.basename(script))[0]
    done = unittest.main(module=name, argv=[script, *sys.argv[2:]], exit=False).result
    return 1 if not done.wasSuccessful() else 77 if done.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
