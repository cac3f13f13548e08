"""pyproject.toml names files that exist; the package's list, its types and the extension agree."""
import ast
import os
import unittest

import swath

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class PackageTest(unittest.TestCase):
    def test_pyproject(self):
        try:
            import tomllib
        except ImportError:
            self.skipTest("tomllib came with Python 3.11")
        with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
            project = tomllib.load(file)
        for name in (project["project"]["readme"], project["project"]["license"]["file"],
                     project["tool"]["scikit-build"]["metadata"]["version"]["input"]):
            self.assertTrue(os.path.isfile(os.path.join(ROOT, name)), name)
        self.assertEqual(project["build-system"]["build-backend"], "scikit_build_core.build")
        self.assertEqual(project["tool"]["scikit-build"]["cmake"]["define"]["SWATH_PYTHON"], "ON")

    def test_types_name_every_function_and_argument(self):
        folder = os.path.dirname(swath.__file__)
        self.assertTrue(os.path.isfile(os.path.join(folder, "py.typed")))
        with open(os.path.join(folder, "__init__.pyi"), encoding="utf-8") as file:
            typed = {node.name: node.args for node in ast.parse(file.read()).body if isinstance(node, ast.FunctionDef)}
        functions = {name for name in swath.__all__ if not name.startswith("_")}
        self.assertEqual(set(typed), functions)
        for name in functions:
            first = getattr(swath, name).__doc__.splitlines()[0]
            for argument in typed[name].args:
                self.assertRegex(first, rf"\b{argument.arg}\b", name)

    def test_extension_and_list_agree(self):
        functions = {name for name in dir(swath._swath) if callable(getattr(swath._swath, name)) and not name.startswith("_")}
        self.assertEqual(functions, set(swath.__all__) - {"__version__"})
        self.assertRegex(swath.__version__, r"^\d+\.\d+\.\d+$")


if __name__ == "__main__":
    unittest.main()
