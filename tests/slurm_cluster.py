"""A real Slurm of one node on the loopback interface: munged, slurmctld and slurmd, in a folder of their own."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
KillWait=2
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=500
PartitionName=main Nodes=ALL Default=YES
"""


def lacking():
    """Why there can be none here; empty where there can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)} (Debian: slurm-wlm, munge)"
    return "" if os.getuid() == 0 else "needs root, whose processes slurmd starts"


@contextmanager
def cluster(folder):
    """Yields the path of slurm.conf once the node takes jobs; whatever runs there then is killed with it."""
    for name in ("controller", "node"):
        (folder / name).mkdir(parents=True)
    configuration, key = folder / "slurm.conf", folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    host, (controller, node) = socket.gethostname().split(".")[0], free_ports(2)
    configuration.write_text(
        CONFIGURATION.format(folder=folder, host=host, controller=controller, node=node, cores=os.cpu_count())
    )
    places = [f"--key-file={key}", *(f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed"))]
    commands = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *places],
        ["slurmctld", "-D", "-f", configuration],
        ["slurmd", "-D", "-f", configuration],
    ]
    running = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("wb")
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
            if command[0] == "munged":
                until(lambda: (folder / "munge.socket").exists())
        environment = {**os.environ, "SLURM_CONF": str(configuration)}
        until(lambda: "idle" in said("sinfo", "--noheader", "--format=%T", env=environment))
        yield configuration
        said("scancel", "--me", env=environment)
        until(lambda: not said("squeue", "--noheader", env=environment).strip())
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def said(*command, env=None):
    return subprocess.run(command, capture_output=True, text=True, env=env).stdout


def until(true, seconds=120):
    """Wait for what another process does."""
    for _ in range(seconds * 5):
        if true():
            return
        time.sleep(0.2)
    raise AssertionError("it has not come")
