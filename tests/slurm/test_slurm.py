"""Training on a real Slurm: one that `cluster.sh` starts on this machine, on loopback."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import dying
import pytest

from surrlab import _parallel
from surrlab._executors import NamedExecutor

pytestmark = pytest.mark.slurm
SCRIPT = Path(__file__).with_name("cluster.sh")


@pytest.fixture(scope="module")
def slurm():
    """Its configuration file."""
    pytest.importorskip("executorlib")
    path = f"{os.environ['PATH']}:/usr/sbin"
    for program in ("slurmctld", "slurmd", "srun", "munged"):
        assert shutil.which(program, path=path), f"{program} is not installed: docs/clusters.md"
    folder = tempfile.mkdtemp(prefix="slurm-", dir="/tmp")
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = [str(each.getsockname()[1]) for each in (one, other)]
    start = [SCRIPT, "start", folder, *ports]
    done = subprocess.run(start, check=True, stdout=subprocess.PIPE, text=True)
    yield done.stdout.strip()
    subprocess.run([SCRIPT, "stop", folder], check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def reachable(slurm, monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_CONF", slurm)
    monkeypatch.setenv("PYTHONPATH", str(SCRIPT.parents[1]))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))


def test_models_are_those_of_this_machine_though_a_job_is_killed(ensemble, tmp_path):
    job = dying.compare_with_here("slurm", ensemble, tmp_path, cores=1, minutes=10)
    assert job.strip().isdecimal()  # the one that died


def test_files_share_as_many_jobs_as_there_are_workers():
    executor = NamedExecutor("slurm", {"workers": 2})
    jobs = [(os.getenv, ("SLURM_JOB_ID",))] * 5
    assert len(set(_parallel.run(jobs, executor=executor, label="test"))) == 2


def test_a_controller_that_is_gone_is_one_sentence(slurm, monkeypatch, tmp_path):
    text = Path(slurm).read_text()
    elsewhere = re.sub("SlurmctldPort=.*", "SlurmctldPort=9", text)  # nobody listens there
    assert elsewhere != text
    (tmp_path / "slurm.conf").write_text(elsewhere)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    with pytest.raises(OSError, match=r"sinfo gets no answer from its scheduler: .*controller"):
        NamedExecutor("slurm")
