"""The site's options, in Kaldi's form."""

from __future__ import annotations

import pytest

from spk.errors import InputError
from spk.jobs.site_config import parse_site_config, site_config
from spk.jobs.slurm import BUILT_IN

# The example of Kaldi's documentation of queue.pl, with what it stands for.
KALDI = """# Default configuration
command qsub -v PATH -cwd -S /bin/bash -j y -l arch=*64*
option mem=* -l mem_free=$0,ram_free=$0
option mem=0          # Do not add anything to qsub_opts
option num_threads=* -pe smp $0
option num_threads=1  # Do not add anything to qsub_opts
option max_jobs_run=* -tc $0
default gpu=0
option gpu=0 -q all.q
option gpu=* -l gpu=$0 -q g.q
"""


@pytest.mark.parametrize(
    "resources, flags",
    [
        ({}, "-q all.q"),
        ({"mem": "4G"}, "-q all.q -l mem_free=4G,ram_free=4G"),
        ({"mem": "0"}, "-q all.q"),
        ({"gpu": "2"}, "-l gpu=2 -q g.q"),
        ({"num_threads": "1"}, "-q all.q"),
        ({"num_threads": "8", "gpu": "1"}, "-l gpu=1 -q g.q -pe smp 8"),
    ],
)
def test_kaldis_form_is_read(resources, flags):
    words = parse_site_config(KALDI, "queue.conf").submit_command(resources)
    assert " ".join(words) == f"qsub -v PATH -cwd -S /bin/bash -j y -l arch=*64* {flags}"


def test_what_the_sites_file_does_not_name_is_asked_for_as_slurm_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resources = {"mem": "4G", "gpu": "1", "time": "1:00:00"}
    assert site_config("slurm", BUILT_IN).submit_command(resources) == (
        ["sbatch", "--mem", "4G", "--gres", "gpu:1", "--time", "1:00:00"]
    )
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/slurm.conf").write_text("option gpu=* --partition 'big one' --gpus $0\r\n")
    assert site_config("slurm", BUILT_IN).submit_command(resources) == (
        ["sbatch", "--mem", "4G", "--partition", "big one", "--gpus", "1", "--time", "1:00:00"]
    )
    (tmp_path / "other.conf").write_text("command sbatch --account a\noption mem=0\n")
    other = site_config("slurm", BUILT_IN, "other.conf")
    assert other.submit_command({"gpu": "2"}) == ["sbatch", "--account", "a", "--gres", "gpu:2"]
    with pytest.raises(InputError, match=r"--mem 4G: other.conf allows for mem: 0"):
        other.submit_command({"mem": "4G"})


@pytest.mark.parametrize(
    "text, message",
    [
        ("option mem=* --mem $0\noptoin gpu=* x", r"site.conf:2: 'optoin gpu=\* x': a line is 'command SUBMIT"),
        ("command", "site.conf:1: 'command': a line is"),
        ("option mem", "site.conf:1: 'option mem'"),
        ("default gpu=0 1", "site.conf:1: 'default gpu=0 1'"),
        ("option mem=* 'x", "site.conf:1: .*No closing quotation"),
        ("option =* x", "site.conf:1: 'option =[*] x'"),
    ],
)
def test_a_line_that_is_none_is_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_site_config(text, "site.conf")


def test_an_option_that_the_site_does_not_know_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"--partitoin x: no line 'option partitoin=\*' in .*Known: config, gpu"):
        site_config("slurm", BUILT_IN).submit_command({"partitoin": "x"})


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no.conf: no such file \(--config names the site's options for slurm\)"):
        site_config("slurm", BUILT_IN, "no.conf")
    with pytest.raises(InputError, match="Is a directory"):
        site_config("slurm", BUILT_IN, str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="binary: not a text file"):
        site_config("slurm", BUILT_IN, "binary")
