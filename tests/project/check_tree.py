"""Checks of the tree: check_tree.py layering|style|contents ROOT. Exits 77 when a tool is missing outside CI."""
import os
import re
import shutil
import subprocess
import sys

ALLOWED = {
    "kernels": {"kernels"},
    "engine": {"kernels", "engine"},
    "models": {"kernels", "engine", "models"},
    "losses": {"kernels", "engine", "losses"},
    "data": {"kernels", "engine", "data"},
    "retrieval": {"kernels", "engine", "retrieval"},
    "recipes": {"kernels", "engine", "models", "losses", "data", "retrieval", "recipes"},
}
ALLOWED["bench"] = {"kernels", "engine", "models", "losses", "data", "retrieval", "bench"}
ALLOWED["apps"] = ALLOWED["recipes"] | {"apps", "bench"}
CODE = (".h", ".cpp", ".cu", ".cuh")
LARGEST_FILE = 1 << 20  # a clone brings every version of it
TEXT = CODE + (".py", ".sh", ".md", ".txt", ".cmake", ".json", ".in", ".yml", ".supp")


def tracked(root):
    listed = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z"], capture_output=True, check=True).stdout.decode()
    return [name for name in listed.split("\0") if name and os.path.isfile(os.path.join(root, name))]


def layering(root):
    for name in tracked(root):
        area = name.split("/")[0]
        if area not in ALLOWED or not name.endswith(CODE):
            continue
        with open(os.path.join(root, name), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                found = re.match(r'\s*#\s*include\s*"([^"/]+)/', line)
                if found and found.group(1) not in ALLOWED[area]:
                    yield f"{name}:{number}: {area} must not include {found.group(1)}/"


def style(root):
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = subprocess.run([tool, "--version"], capture_output=True).stdout.decode() if tool else ""
    if "version 14." not in version:
        print("clang-format 14 is not installed (clang-format-14)")
        sys.exit(1 if os.environ.get("CI") == "true" else 77)
    files = [os.path.join(root, name) for name in tracked(root) if name.endswith(CODE)]
    result = subprocess.run([tool, "--dry-run", "-Werror", *files], capture_output=True, cwd=root)
    for line in result.stderr.decode().splitlines():
        if "clang-format-violations" in line:
            yield line


def contents(root):
    own = "tests/project/check_tree.py"
    forbidden = [
        (re.compile(r"/(work|farm|home)/[a-z]"), "a path of one machine"),
        (re.compile(r"/(root|opt)/[a-z.]"), "a path of one machine"),
        (re.compile(r"--(extra-)?index-url"), "a package index"),
        (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), "something left for later"),
    ]
    for name in tracked(root):
        if os.path.getsize(os.path.join(root, name)) > LARGEST_FILE:
            yield f"{name}: larger than {LARGEST_FILE} bytes"
        if name == own or name == "LICENSE" or not (name.startswith(".ci/") or name.endswith(TEXT)):
            continue
        with open(os.path.join(root, name), encoding="utf-8") as file:
            lines = file.readlines()
        if name.endswith(CODE + (".py",)) and len(lines) > 600:
            yield f"{name}: {len(lines)} lines, more than 600"
        for number, line in enumerate(lines, 1):
            for pattern, what in forbidden:
                if pattern.search(line):
                    yield f"{name}:{number}: {what}: {line.strip()[:100]}"


def main():
    check, root = sys.argv[1], sys.argv[2]
    if not os.path.exists(os.path.join(root, ".git")):
        print("not a git checkout")
        sys.exit(77)
    problems = list({"layering": layering, "style": style, "contents": contents}[check](root))
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


main()
