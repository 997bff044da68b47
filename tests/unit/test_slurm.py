"""`alpharl init --slurm`: what SLURM printed, the choice made from it, and the profile's text.

The texts are what the cluster of tests/slurm printed (SLURM 22.05), and lines of the same form for
sites that it is not. tests/slurm runs all of it on that cluster.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import yaml
from alpharl.errors import ClusterError
from alpharl.slurm.choose import Site, choose
from alpharl.slurm.jobs import cancel_left, claim
from alpharl.slurm.profile import EXAMPLE, profile_files, write_profile
from alpharl.slurm.site import Cluster, gpus, minutes, partitions, setting
from snakemake.profiles import ProfileConfigFileParser

REPO = Path(__file__).parents[2]
SINFO = "cpu*|2-00:00:00|gpu:fake:4\ngpu|1-00:00:00|gpu:fake:4\n"
CONFIG = """Configuration data as of 2026-11-22T19:38:59
AccountingStorageEnforce = none
AccountingStorageType   = accounting_storage/none
MinJobAge               = 3600 sec
SelectType              = select/cons_tres
"""
SITE = """short*|4:00:00|(null)
long|14-00:00:00|(null)
a100|3-00:00:00|gpu:a100:4(S:0-1)
mixed|infinite|gpu:v100:2,gpu:a100:1
mixed|infinite|gpu:v100:8(S:0,1)
old|30:00|gpu:2
"""


def cluster(text: str = SINFO, **more) -> Cluster:
    given = {"accounts": [], "accounting": False, "min_job_age": 3600} | more
    return Cluster(partitions=partitions(text), **given)


def test_partitions_are_read():
    read = partitions(SITE)
    assert [name for name, partition in read.items() if partition.default] == ["short"]
    limits = {name: partition.minutes for name, partition in read.items()}
    assert limits == {"short": 240, "long": 20160, "a100": 4320, "mixed": None, "old": 30}
    assert read["mixed"].gpus == {"v100": 8, "a100": 1}, "the most that a node has"
    assert read["old"].gpus == {"": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30:00", 30), ("1:30:00", 90), ("2-00:00:00", 2880), ("infinite", None), ("0:30", 0)],
)
def test_times_are_minutes(text, expected):
    assert minutes(text) == expected


def test_other_resources_are_no_gpus():
    assert gpus("(null)") == {}
    assert gpus("lustre:1,gpu:h100:8(S:0-1),craynetwork:4") == {"h100": 8}


def test_settings_are_read_and_missed():
    assert setting(CONFIG, "MinJobAge") == "3600 sec"
    with pytest.raises(ClusterError, match="found no MaxAge"):
        setting(CONFIG, "MaxAge")


def test_the_test_cluster_is_guessed():
    expected = Site("cpu", "gpu", gpus=4, minutes=1440, status="squeue")
    assert choose(cluster()) == expected


def test_given_facts_count():
    accounts = {"accounts": ["proj", "other"], "accounting": True}
    site = choose(cluster(SITE, **accounts), None, "long", "mixed", "v100")
    assert (site.partition, site.gpu_partition, site.gpu_model) == ("long", "mixed", "v100")
    assert (site.account, site.status, site.minutes) == ("proj", "sacct", 20160)
    assert choose(cluster(SITE, **accounts), "other", "long", "a100").account == "other"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"found 3 that can be the partition for jobs with GPUs \(a100, mixed, old\).*--gpu"),
        (
            {"partition": "shrot"},
            "--partition shrot: found no such partition.*mean 'short'",
        ),
        ({"gpu_partition": "a100", "gpu_model": "h100"}, "--gpu-model h100: .* 'a100'"),
    ],
)
def test_what_cannot_be_guessed_is_one_line(monkeypatch, given, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ClusterError, match=message):
        choose(cluster(SITE), **given)


@pytest.mark.parametrize(
    ("select", "given", "gres"),
    [
        ("select/cons_tres", None, False),
        ("select/cons_res", None, True),
        ("select/cons_tres", "gres", True),
        ("select/linear", "gpus", False),
    ],
)
def test_how_gpus_are_asked_for_follows_the_plugin(select, given, gres):
    site = choose(cluster(select=select), gpu_syntax=given)
    assert site.gres == gres
    assert ("gpu_syntax='gres'" in parsed(site)["default-resources"]) == gres


def test_no_gpus_is_no_gpu_partition():
    site = choose(cluster("batch*|infinite|(null)\n"))
    assert (site.gpu_partition, site.gpus, site.minutes) == (None, 0, None)


def test_jobs_are_asked_for_before_squeue_forgets_them():
    assert choose(cluster(min_job_age=30)).status_seconds == 10
    with pytest.raises(ClusterError, match="no accounting"):
        choose(cluster(min_job_age=2))


def parsed(site: Site) -> dict:
    """The profile as Snakemake reads it."""
    file = io.StringIO(profile_files(site)["config.yaml"])
    file.name = "slurm/config.yaml"
    return dict(ProfileConfigFileParser().parse(file))


def test_snakemake_reads_the_profile():
    read = parsed(Site("cpu", "gpu", 4, "a100", False, "p-1", 1440, "squeue", 10))
    assert read["default-resources"] == ["nodes=1", "slurm_account='p-1'", "gpu_model='a100'"]
    assert read["resources"] == ["runtime=1440"]
    assert read["set-resource-scopes"] == ["runtime=local"]
    assert read["slurm-status-command"] == "squeue"
    assert read["slurm-init-seconds-before-status-checks"] == "10"


def test_one_partition_needs_no_file():
    site = Site("all")
    assert set(profile_files(site)) == {"config.yaml"}
    read = parsed(site)
    assert read["default-resources"] == ["nodes=1", "slurm_partition='all'"]
    assert "resources" not in read and "slurm-partition-config" not in read


def test_every_line_of_the_profile_is_commented():
    lines = profile_files(EXAMPLE)["config.yaml"].splitlines()
    keys = [i for i, line in enumerate(lines) if line and line[0] not in " #"]
    assert len(keys) > 15
    assert not [lines[i] for i in keys if not lines[i - 1].startswith("# ")]


def test_the_example_is_in_sync():
    """`make schema` writes it."""
    for name, text in profile_files(EXAMPLE).items():
        assert (REPO / "profiles" / "slurm" / name).read_text() == text


def test_a_changed_file_is_not_overwritten(tmp_path):
    texts = profile_files(EXAMPLE)
    write_profile(tmp_path, texts, force=False)
    write_profile(tmp_path, texts, force=False)
    (tmp_path / "config.yaml").write_text("jobs: 1\n")
    with pytest.raises(ClusterError, match="with other contents"):
        write_profile(tmp_path, texts, force=False)
    assert (tmp_path / "config.yaml").read_text() == "jobs: 1\n"
    write_profile(tmp_path, texts, force=True)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["jobs"] == 100


def test_neither_folder_nor_slurm_is_one_line(cli):
    assert "expected that of a trainer's output, or --slurm" in cli("init").error


def test_without_slurm_commands_it_is_one_line(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "found no command scontrol" in cli("init", "--slurm", "--out", tmp_path / "p").error
    assert not (tmp_path / "p").exists()


def test_without_squeue_a_copied_study_can_be_run(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    claim(str(tmp_path), ["some-uuid"])
    claim(str(tmp_path), [])
    cancel_left(str(tmp_path))
    assert (tmp_path / ".slurm-jobs").read_text() == ""


def test_a_study_without_slurm_leaves_no_record(tmp_path):
    claim(str(tmp_path), [])
    assert not list(tmp_path.iterdir())
