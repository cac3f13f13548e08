"""Documentation against the program: check_docs.py keys|named_keys|environment|exit_codes|commands ROOT SWATH.

commands runs every ```sh block of README.md and docs/*.md whose fence says `sh test`, in one folder, with small sizes put
in by the replacements below. A block that is only `sh` needs an archive or a machine that a test does not have: its
sub-commands and options are checked against --help instead. Behind mpirun a command runs as its several processes where
mpirun is installed, and must be refused with its sentence by a build without MPI.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

SMALLER = [("--images 2400 --size 64", "--images 120 --size 32"), ("--tsne", "--tsne --perplexity 5")]
SMALL_TRAINING = ["--set", "epochs=1", "--set", "data.image_size=32", "--set", "model.embedding=16",
                  "--set", "sampler.classes_per_batch=4"]
LIBRARY = ["kernels", "engine", "models", "losses", "data", "retrieval", "recipes"]
# As tests/ranks.sh: for containers, and whoever runs the test.
FOR_MPIRUN = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
              "OMPI_MCA_btl_vader_single_copy_mechanism": "none", "OMPI_MCA_mpi_yield_when_idle": "1"}


def pages(root):
    names = ["README.md", "CONTRIBUTING.md"] + ["docs/" + n for n in sorted(os.listdir(os.path.join(root, "docs"))) if n.endswith(".md")]
    for name in names:
        with open(os.path.join(root, name), encoding="utf-8") as file:
            yield name, file.read()


def blocks(root):
    for name, text in pages(root):
        for fence, body in re.findall(r"```(sh(?: test)?)\n(.*?)```", text, re.S):
            joined = body.replace("\\\n", " ")
            for line in joined.splitlines():
                line = line.split("  #")[0].strip()
                if line and not line.startswith("#"):
                    yield name, fence == "sh test", line


def keys(root, swath):
    printed = subprocess.run([swath, "config", "schema", "--markdown"], capture_output=True, check=True).stdout.decode()
    with open(os.path.join(root, "docs/configuration.md"), encoding="utf-8") as file:
        if printed.strip() not in file.read():
            yield "docs/configuration.md differs from `swath config schema --markdown`; paste it again"


def sources(root, areas, endings):
    for area in areas:
        for folder, _, names in os.walk(os.path.join(root, area)):
            for name in names:
                if name.endswith(endings):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        yield os.path.relpath(path, root), file.read()


def named_keys(root, swath):
    """Sentences of errors that name a key by its path name one that there is."""
    printed = subprocess.run([swath, "config", "schema", "--markdown"], capture_output=True, check=True).stdout.decode()
    known = set(re.findall(r"^\| `([a-z0-9_.]+)` \|", printed, re.M))
    paths = known | {key.rsplit(".", n)[0] for key in known for n in range(1, key.count(".") + 1)}
    words = {word for key in known for word in key.split(".")} | {"evaluate"}
    for name, text in sources(root, LIBRARY + ["apps"], (".cpp", ".h", ".cu")):
        for sentence in re.findall(r'\w*Error\(\s*(?:fmt::format\(\s*)?((?:"(?:[^"\\\\]|\\\\.)*"\s*)+)', text):
            for path in re.findall(r"(?<![\w./{}-])[a-z_0-9]+(?:\.[a-z_0-9]+)+(?![\w.]*[/(])", sentence):
                parts = path.split(".")
                if path not in paths and parts[0] in words and parts[-1] in words:
                    yield f"{name}: the error names {path}, which is no key of a configuration"


def environment(root, swath):
    """docs/environment.md lists the switches that the program reads, and none that nothing reads."""
    with open(os.path.join(root, "docs/environment.md"), encoding="utf-8") as file:
        program, others = (set(re.findall(r"^\| `(SWATH_\w+)", part, re.M)) for part in file.read().split("## Tests"))
    reads = r'(?:getenv|switched_on|environ(?:\.get)?)[([]"(SWATH_\w+)"'
    read = {name for _, text in sources(root, LIBRARY + ["apps"], (".cpp", ".h", ".cu", ".cuh")) for name in re.findall(reads, text)}
    for name in program ^ read:
        yield f"docs/environment.md: {name} is {'not listed' if name in read else 'read by nothing'}"
    text = "".join(text for _, text in sources(root, ["bench", "tests"], (".cpp", ".h", ".py", ".sh", ".txt")))
    used = set(re.findall(reads, text)) | set(re.findall(r"\$\{?(SWATH_\w+)", text))
    for name in others - used:
        yield f"docs/environment.md: {name} is read by nothing"


def exit_codes(root, swath):
    shown = subprocess.run([swath, "--help"], capture_output=True, check=True).stdout.decode()
    with open(os.path.join(root, "docs/exit-codes.md"), encoding="utf-8") as file:
        listed = set(re.findall(r"^\| (\d+) \|", file.read(), re.M))
    with open(os.path.join(root, "engine/core/error.h"), encoding="utf-8") as file:
        defined = set(re.findall(r"^  \w+ = (\d+),", file.read(), re.M))
    helped = set(re.findall(r"(?:: |; |;\n)(\d+) ", shown[shown.index("Exit codes"):]))
    for place, found in (("docs/exit-codes.md", listed), ("swath --help", helped)):
        if found != defined:
            yield f"{place} lists the exit codes {sorted(found)}, the program has {sorted(defined)}"


def known_options(swath, words):
    """Options of the longest sub-command that the words begin with; None when there is no such sub-command."""
    path = []
    for word in words:
        if word.startswith("-") or len(path) == 2:
            break
        path.append(word)
    while path:
        shown = subprocess.run([swath, *path, "--help"], capture_output=True)
        if shown.returncode == 0:
            return set(re.findall(r"--[a-z-]+", shown.stdout.decode()))
        path.pop()
    return None


def split_launcher(words):
    """The command of swath, and the launcher's words before it. More processes than cores may run here."""
    if words[0] not in ("mpirun", "srun"):
        return words, []
    at = words.index("swath")
    return words[at:], [words[0], "--oversubscribe", *words[1:at]]


def commands(root, swath):
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.join(root, "configs"), os.path.join(folder, "configs"))
        ran = 0
        for page, run, line in blocks(root):
            words, launcher = split_launcher(shlex.split(line))
            if os.path.basename(words[0]) != "swath":
                script = os.path.join(root, words[0])
                if words[0].startswith("./") and not os.access(script, os.X_OK):
                    yield f"{page}: {line}: there is no {words[0]}"
                continue
            if not run:
                options = known_options(swath, words[1:]) if len(words) > 1 and not words[1].startswith("-") else {"--help", "--version"}
                used = {w.split("=")[0] for w in words if w.startswith("--")}
                if options is None or not used <= options:
                    yield f"{page}: {line}: unknown {sorted(used - (options or set())) or words[1]}"
                continue
            for long, short in SMALLER:
                line = line.replace(long, short)
            words = [swath] + split_launcher(shlex.split(line))[0][1:]
            if words[1] == "train":
                words += SMALL_TRAINING
            if launcher and not shutil.which(launcher[0]):
                continue
            result = subprocess.run(launcher + words, cwd=folder, capture_output=True, env={**os.environ, **FOR_MPIRUN})
            ran += 1
            without_mpi = launcher and result.returncode == 2 and b"this build has no MPI" in result.stderr
            if result.returncode != 0 and not without_mpi:
                yield f"{page}: {line}: exit {result.returncode}: {result.stderr.decode()[-300:]}"
        if not ran:
            yield "no command of the documentation was run"


def main():
    check, root, swath = sys.argv[1:4]
    problems = list({"keys": keys, "named_keys": named_keys, "environment": environment, "exit_codes": exit_codes, "commands": commands}[check](root, swath))
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


main()
