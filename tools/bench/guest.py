#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark's part that runs inside the VM: guest.py PLAN, where PLAN is
JSON (see `run` and `profile`). Results go to /results/bench.jsonl, one object
a line; the log on standard output is for people."""

import contextlib
import json
import os
import subprocess
import sys

import flushes
import jobs
import targets

RESULTS = "/results"


class Log:
    def __init__(self):
        path = os.path.join(RESULTS, "bench.jsonl")
        self.file = open(path, "w", encoding="ascii")  # for the program's life

    def put(self, **record):
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()


class Stand:
    """The targets that could be set up, and how to get at one for a job."""

    def __init__(self, plan, log):
        self.rig = targets.Rig(plan["images"], plan["modules"], plan["vdctl"])
        self.full = {}
        self.failed = 0
        self.log = log
        self.rig.prepare(plan["targets"],
                         any(jobs.JOBS[job].image == "delta" for job in plan["jobs"]))
        for name in plan["targets"]:
            try:
                self.full[name] = self.rig.attach(name)
                print(f"{name}: {self.full[name][0]}", flush=True)
            except (RuntimeError, OSError) as error:
                self.unavailable(name, error)

    def unavailable(self, name, error):
        self.failed += 1
        self.log.put(kind="unavailable", target=name, why=str(error))
        print(f"{name}: cannot be set up: {error}", flush=True)

    def targets(self, job):
        return [name for name in self.full if jobs.applicable(job, name)]

    def device(self, job, name):
        """A context: the node and the file below it."""
        image = jobs.JOBS[job].image
        if image == "full":
            return contextlib.nullcontext(self.full[name])
        return self.rig.fresh(name, image)


def fio(node, name, job, *more):
    spec = jobs.JOBS[job]
    words = ["fio", "--name=bench", f"--filename={node}", "--ioengine=libaio", "--direct=1",
             "--thread", f"--size={spec.disk_mib(name)}m", "--output-format=json",
             "--norandommap", "--randrepeat=1", f"--rw={spec.rw}", f"--bs={spec.kib}k",
             f"--iodepth={spec.depth}", f"--fsync={spec.fsync}", *more]
    report = json.loads(targets.command(*words))["jobs"][0]
    if report["error"]:
        raise RuntimeError(f"fio on {node}: error {report['error']}")
    return report["write" if spec.is_write else "read"]


def fio_counted(node, name, job, ios):
    return fio(node, name, job, f"--io_size={ios * jobs.JOBS[job].block}", "--end_fsync=1")


def timed(node, name, job, plan):
    ios = jobs.JOBS[job].ios
    if ios:
        side = fio_counted(node, name, job, ios)
    else:
        side = fio(node, name, job, "--time_based", f"--runtime={plan['run_ms']}ms",
                   f"--ramp_time={plan['ramp_ms']}ms")
    if not side["total_ios"]:
        raise RuntimeError(f"fio on {node} did nothing")
    return side["iops"]


def measure(plan, stand, log):
    """Targets in the inner loop: what disturbs the machine for a while
    disturbs all of them alike."""
    for turn in range(plan["rounds"]):
        for job in plan["jobs"]:
            for name in stand.targets(job):
                try:
                    with stand.device(job, name) as (node, _):
                        iops = timed(node, name, job, plan)
                except (RuntimeError, OSError) as error:
                    stand.unavailable(f"{name}, {job}", error)
                    continue
                log.put(kind="result", mode=plan["mode"], round=turn, job=job, target=name,
                        iops=iops)
                cost = f"{1e9 / iops:12.0f} insns/IO" if plan["mode"] == "counted" else ""
                print(f"round {turn + 1}  {job:11} {name:11} {iops:10.0f} IO/s{cost}",
                      flush=True)


def flushes_of(stand, job, name):
    """Of the device, and of its file, while a job runs."""
    spec = jobs.JOBS[job]
    with stand.device(job, name) as (node, path):
        if spec.image == "full":
            fio_counted(node, name, job, 1)  # the first write ever may cost more
        counter = flushes.Counter(node, path)
        fio_counted(node, name, job, spec.ios)
        return counter.found()


def count_flushes(plan, stand, log):
    """What an fsync comes to at the file."""
    for job in plan["jobs"]:
        for name in stand.targets(job) if job in jobs.FLUSHES else ():
            if name == "file":
                continue
            try:
                sent, of_file = flushes_of(stand, job, name)
            except (RuntimeError, OSError) as error:
                stand.unavailable(f"{name}, flushes of {job}", error)
                continue
            log.put(kind="flushes", job=job, target=name, sent=sent, file=of_file)
            print(f"{job:11} {name:11} {sent} flushes, {of_file} of the file", flush=True)


def profile(plan, stand, log):
    """Two runs that differ in nothing but how much they do: the start-up cancels
    out of the difference. `mark N` makes the plugin write counts-N."""
    label = 1
    for job in plan["jobs"]:
        most = jobs.JOBS[job].ios
        for name in stand.targets(job):
            counts = []
            for ios in (most // 8, most) if most else plan["ios"]:
                with stand.device(job, name) as (node, _):
                    subprocess.run([plan["mark"], "0"], check=True)
                    done = fio_counted(node, name, job, ios)["total_ios"]
                    subprocess.run([plan["mark"], str(label)], check=True)
                counts.append({"label": label, "ios": done})
                label += 1
            log.put(kind="profile", job=job, target=name, counts=counts)
            print(f"{job:11} {name:11} {counts[0]['ios']} and {counts[1]['ios']} requests",
                  flush=True)
    with open("/proc/kallsyms", "rb") as source, open(f"{RESULTS}/kallsyms", "wb") as target:
        target.write(source.read())


def main():
    plan = json.loads(sys.argv[1])
    log = Log()
    log.put(kind="versions", **targets.versions())
    stand = Stand(plan, log)
    if plan["mode"] == "profile":
        profile(plan, stand, log)
    else:
        measure(plan, stand, log)
    if plan["mode"] == "counted":
        count_flushes(plan, stand, log)
    return 1 if stand.failed else 0


if __name__ == "__main__":
    sys.exit(main())
