"""Every command, option, config key, path and link in README.md, docs/ and the READMEs of egs/ is one that there is.

Commands are run up to where their work would begin: recipes check the options, the config and the back-ends, steps
their options and the number of their arguments, Python commands all that argparse does. What of them is done in
earnest, test_pages_in_earnest.py and the tests of each step and recipe do.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import yaml
from pages.code_of_pages import ROOT, code_of, files_shown, pages, text_of
from pages.sandbox import commands_of, copy_repository, run_commands
from pages.warm_python import PARSED, warm_python

from spk.backend import BACKENDS
from spk.config import SECTIONS, EvaluationConfig, Ramp, SystemConfig, make_evaluation, override
from spk.feats import FRONT_ENDS
from spk.feats.spec_augment import SpecAugment
from spk.jobs.site_config import parse_site_config
from spk.losses import LOSSES
from spk.nets import NETWORKS
from spk.nets.normalization import NORMALIZATIONS
from spk.report.grid import check_conditions, read_grid
from spk.schema import check_arguments
from spk.train.optimizers import OPTIMIZERS
from spk.train.schedules import SCHEDULES

AS_FAR_AS_PARSED = 77
PAGES = pages()
CODE = [code for page in PAGES for code in code_of(page)]
# Where the commands of a page are meant to be run.
FOLDERS = {"docs/grids.md": "egs/voxceleb", "docs/clusters.md": "egs/voxceleb"}
# What a reader puts in its place.
STANDS_FOR = {"SYSTEM.yaml": "fast_resnet34_softmax.yaml", "spk COMMAND": "spk verify"}
FILES = {"SCORES", "TRIALS", "SCORES_A", "SCORES_B", "CHECKPOINT", "COPY", "FILE"}
# What makes the files with which the commands of a page begin.
BEFORE = {
    "egs/voxceleb/README.md": (
        "mkdir -p exp/published; cp conf/fast_resnet34_angular_prototypical.yaml exp/published/config.yaml"
    ),
}
# Options and inputs are as they should be, and then an input that an earlier command would have made is not there.
MADE_BEFORE = re.compile(
    r"error: (--\S+ )?'?(\.\./\w+/)?(data|exp)\w*/\S+"
    r"( is missing; run stage \d first|: no such (file|folder)| is no data directory)"
)
# What a span leaves out: it names options of a command, and no arguments.
LEFT_OUT = re.compile(
    r"it takes (at least )?\d arguments|takes DATA|option \S+ needs a value|it needs --|arguments are required"
    r"|expected (one argument|\d arguments)|needs a log file and a command|where is the speech\?"
)
# Whose blocks a test of their own runs.
TESTED_PAGES = ("docs/add_a_loss.md", "docs/model_in_use.md")
# Begin with these: tested elsewhere, or not ours.
TESTED_BY = {
    "tests/benchmarks/run_all.sh": "tests/recipes/test_performance_page.py",
    "GROWTH_OPTIONS=--voxceleb2 tests/benchmarks/run_all.sh": "tests/recipes/test_performance_page.py",
}
NOT_OURS = ("git clone", "sbatch ", "scancel", "qdel", "qconf", "qmod", "qsub", "ivector-", "import torch")
NOT_OUR_OPTIONS = {"--num-utts", "--export", "--gres", "--cpus-per-task", "--ntasks-per-node", "--array"}

SCRIPTS = {
    path.name: path
    for folder in ("steps", "utils", "local")
    for path in (ROOT / folder).iterdir()
    if path.is_file() and path.stat().st_mode & 0o100
}
REGISTRIES = {
    "features": FRONT_ENDS,
    "normalization": NORMALIZATIONS,
    "network": NETWORKS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}


def is_command(span: str) -> bool:
    """A span with a command and something behind it; one word alone only names it."""
    first, _, rest = span.partition(" ")
    if first == ".":
        return True
    ours = first in SCRIPTS or first == "python3" or re.match(r"(\./|(\.\./)?(egs|steps|utils|local|voxceleb)/)", first)
    return bool(ours and rest and "..." not in span)


SHELL = [
    code
    for code in CODE
    if (code.language == "sh" and code.page not in TESTED_PAGES) or (code.language == "" and is_command(code.text))
]


def folder_of(page: str) -> str:
    return FOLDERS.get(page, str(Path(page).parent) if page.startswith("egs/") else ".")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return copy_repository(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def python(root):
    with warm_python(root) as environment:
        yield {**environment, PARSED: str(AS_FAR_AS_PARSED)}


def faults(page: str, text: str, root: Path, environment: dict[str, str], is_span: bool = False) -> list[str]:
    """What is wrong with the commands of a block, or with a command in the text."""
    folder = root / folder_of(page)
    for word, real in STANDS_FOR.items():
        text = text.replace(word, real)
    for name in re.findall(r"(?<![\w$./-])[A-Z][A-Z0-9_]+(?![\w.=])", text):
        if name in FILES:
            (folder / name).touch()
        else:
            (folder / name).mkdir(exist_ok=True)
    text = "\n".join(line for line in text.splitlines() if not line.startswith((*TESTED_BY, *NOT_OURS)))
    if page in BEFORE:
        text = f"{BEFORE[page]}\n{text}"
    return [
        str(ran)
        for ran in run_commands(text, folder, environment, timeout=120)
        if ran.status not in (0, AS_FAR_AS_PARSED)
        and not MADE_BEFORE.search(ran.last_line)
        and not (is_span and LEFT_OUT.search(ran.said))
    ]


@pytest.mark.parametrize("code", SHELL, ids=str)
def test_a_command_of_a_page_is_taken_by_its_script(code, root, python):
    assert faults(code.page, code.text, root, python, is_span=code.language == "") == []


@pytest.mark.parametrize(
    "command",
    [
        "./run.sh --confg conf/objectives.yaml",
        "./run.sh --config conf/none.yaml --corpus DIR",
        "./run.sh --loss.margni 0.3 --corpus DIR",
        "./run.sh --backends own,plad --corpus DIR",
        "egs/mini/compare.sh --grid conf/grids/none.yaml -- --corpus DIR",
        "egs/mini/compare.sh --grid conf/grids/am_dam.yaml -- --copus DIR",
        "train_plda data/train exp/x/embeddings_train",
        "train_pdla data/train exp/x/embeddings_train exp/x/plda",
        "score --backnd plda TRIALS DIR DIR SCORES",
        "python3 -m spk.bin.metrics SCORES",
        "python3 -m spk.bin.metrix SCORES TRIALS",
        "slurm --mem 4G log/x.log",
        "spk verfy EXP a.wav b.wav",
        "spk verify EXP a.wav",
        "python3 tests/benchmarks/sharded_classifier.py --stpes 2",
        "cd egs/voxcelb",
    ],
)
def test_a_wrong_command_is_found(command, root, python):
    assert len(faults("README.md", command, root, python)) == 1


def has_options(span: str) -> bool:
    return any(word.startswith("--") for word in span.split()) and not span.startswith(NOT_OURS)


OPTIONS = [code for code in CODE if code.language == "" and has_options(code.text) and not is_command(code.text)]


@pytest.mark.parametrize("code", OPTIONS, ids=str)
def test_options_without_a_command_are_some_command_s(code):
    first = code.text.split()[0]
    names = {*system_names(), "run", "compare", "ivector", "tests/benchmarks/metrics"}
    assert first.startswith("--") or "..." in code.text or Path(first).with_suffix("").as_posix() in names, (
        f"{code}: {code.text}"
    )
    for option in re.findall(r"(?<!\S)--[A-Za-z][\w.-]*", code.text):
        if "." in option:
            assert is_config_key(option[2:]), f"{code}: {option}"
        else:
            assert option in options_of_scripts() | NOT_OUR_OPTIONS, f"{code}: {option}"


@functools.cache
def system_names() -> set[str]:
    return {path.stem for path in ROOT.glob("egs/*/conf/*.yaml")}


@functools.cache
def options_of_scripts() -> set[str]:
    """All words that look like options in what scripts and commands say of themselves."""
    python = (*ROOT.glob("spk/*/*.py"), *ROOT.glob("tests/benchmarks/*.py"))
    texts = [path.read_text() for path in (*SCRIPTS.values(), *ROOT.glob("egs/*/*.sh"), *python)]
    return {option for text in texts for option in re.findall(r"--[a-z][a-z0-9-]*", text)}


@functools.cache
def config_keys(section: str) -> set[str]:
    """The keys that some class of this section has."""
    if section in REGISTRIES:
        registry = REGISTRIES[section]
        keys = {"name"} | ({"online"} if section == "features" else set())
        for target in registry.targets.values():
            hints = target.__init__.__code__.co_varnames if hasattr(target.__init__, "__code__") else ()
            keys |= set(hints)
        return keys
    kinds = {**SECTIONS, "evaluation": EvaluationConfig}
    return set(kinds[section].__dataclass_fields__)


def is_config_key(dotted: str) -> bool:
    section, *rest = dotted.split(".")
    if section == "curriculum":
        return True
    return section in (*REGISTRIES, *SECTIONS, "evaluation") and rest[0].replace("-", "_") in config_keys(section)


KEYS = re.compile(rf"({'|'.join([*REGISTRIES, *SECTIONS, 'evaluation'])})\.[a-z_]+(\.[a-z_]+)*")
SPANNED_KEYS = [code for code in CODE if code.language == "" and KEYS.match(code.text)]


@pytest.mark.parametrize("code", SPANNED_KEYS, ids=str)
def test_a_config_key_that_a_page_names_is_one(code):
    key, _, value = code.text.partition(": ")
    if (ROOT / key).exists() or " " in key:
        return
    assert is_config_key(key), f"{code}: {key}"
    if value:
        check_sections(override({}, [f"--{key}", value]), str(code))


def is_config(span: str) -> bool:
    return bool(re.match(rf"({'|'.join([*REGISTRIES, *SECTIONS, 'evaluation', 'curriculum'])}): \S", span))


def check_sections(content: dict, where: str) -> None:
    """Each section by itself, as the config that it is a part of would be checked."""
    for name, section in content.items():
        assert name in SystemConfig.__dataclass_fields__, f"{where}: {name}"
        if name in REGISTRIES:
            if isinstance(section, dict) and "online" in section:
                assert isinstance(section["online"], bool)
                section = {key: value for key, value in section.items() if key != "online"} or "fbank40"
            REGISTRIES[name].check(name, section)
        elif name in SECTIONS:
            check_arguments(name, section, SECTIONS[name])
            if section.get("spec_augment"):
                check_arguments(f"{name}.spec_augment", section["spec_augment"], SpecAugment)
        elif name == "evaluation":
            BACKENDS.check("evaluation.backend", make_evaluation(section).backend)
        elif name == "curriculum":
            for argument, ramp in section.items():
                Ramp(**check_arguments(f"curriculum.{argument}", ramp or {}, Ramp))


CONFIGS = [
    code
    for code in CODE
    if code.page not in TESTED_PAGES and (code.language == "yaml" or (code.language == "" and is_config(code.text)))
]


@pytest.mark.parametrize("code", CONFIGS, ids=str)
def test_a_config_in_a_page_is_valid(code, root, monkeypatch):
    for part in re.split(r"^---$", code.text, flags=re.MULTILINE):
        content = yaml.safe_load(part)
        if "systems" in content:
            grid = root / "egs/mini/conf/grids/of_a_page.yaml"
            grid.write_text(part)
            monkeypatch.chdir(root / "egs/mini")
            assert check_conditions(read_grid(grid))
        else:
            check_sections(content, str(code))


@pytest.mark.parametrize("code", [code for code in CODE if code.language == "conf"], ids=str)
def test_a_file_for_a_queue_in_a_page_is_valid(code):
    for part in code.text.split("\n\n"):
        config = parse_site_config(part, str(code))
        assert config.command and config.options


def test_every_block_is_of_a_kind_that_a_test_looks_at():
    assert {code.language for code in CODE} <= {"sh", "", "yaml", "conf", "python", "text"}


def test_pages_that_other_tests_run_are_run():
    tests = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    assert [page for page in TESTED_PAGES if not any(Path(page).name in text for text in tests)] == []


def test_commands_that_other_tests_cover_are_covered():
    for command, test in TESTED_BY.items():
        assert Path(command.split()[-1]).name.removesuffix(".sh") in (ROOT / test).read_text()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = text_of(page)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    recipe = (ROOT / page).parent if page.startswith("egs/") else ROOT / "egs/mini"
    for code in code_of(page):
        if code.language == "" and re.match(r"(spk|steps|utils|local|egs|docs|tests|conf)/[\w./*-]*$", code.text):
            places = (ROOT, recipe, ROOT / "egs/voxceleb")
            made = code.text in ("conf/slurm.conf", "conf/gridengine.conf", "conf/queue.conf")
            is_there = made or code.text in files_shown(page) or any(list(place.glob(code.text)) for place in places)
            assert is_there, f"{code}: {code.text}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_names_commands_alone_says_what_puts_them_on_the_path(page):
    blocks = [code for code in code_of(page) if code.language == "sh"]
    bare = [line for code in blocks for line in commands_of(code.text) if line.split()[0] in SCRIPTS]
    assert not bare or ". ./path.sh" in text_of(page), f"{page}: {bare[0]}"
