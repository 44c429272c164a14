#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark's part that runs inside the VM: guest.py PLAN, where PLAN is
JSON (see `run` and `profile`). Results go to /results/bench.jsonl, one object
a line; the log on standard output is for people."""

import json
import os
import subprocess
import sys

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


def fio(node, job, *more):
    words = ["fio", "--name=bench", f"--filename={node}", "--ioengine=libaio", "--direct=1",
             "--thread", f"--size={jobs.IMAGE_MIB}m", "--output-format=json",
             "--norandommap", "--randrepeat=1", *jobs.JOBS[job][1].split(), *more]
    report = json.loads(targets.command(*words))["jobs"][0]
    if report["error"]:
        raise RuntimeError(f"fio on {node}: error {report['error']}")
    return report["write" if jobs.is_write(job) else "read"]


def timed(node, job, plan):
    side = fio(node, job, "--time_based", f"--runtime={plan['run_ms']}ms",
               f"--ramp_time={plan['ramp_ms']}ms")
    if not side["total_ios"]:
        raise RuntimeError(f"fio on {node} did nothing")
    return side["iops"]


def measure(plan, nodes, log):
    """Targets in the inner loop: what disturbs the machine for a while
    disturbs all of them alike."""
    for turn in range(plan["rounds"]):
        for job in plan["jobs"]:
            for name, node in nodes.items():
                if not jobs.applicable(job, name):
                    continue
                iops = timed(node, job, plan)
                log.put(kind="result", mode=plan["mode"], round=turn, job=job, target=name,
                        iops=iops)
                cost = f"{1e9 / iops:12.0f} insns/IO" if plan["mode"] == "counted" else ""
                print(f"round {turn + 1}  {job:11} {name:11} {iops:10.0f} IO/s{cost}",
                      flush=True)


def profile(plan, nodes, log):
    """Two runs that differ in nothing but how much they do: the start-up cancels
    out of the difference. `mark N` makes the plugin write counts-N."""
    label = 1
    for job in plan["jobs"]:
        for name, node in nodes.items():
            if not jobs.applicable(job, name):
                continue
            counts = []
            for ios in plan["ios"]:
                subprocess.run([plan["mark"], "0"], check=True)
                done = fio(node, job, f"--io_size={ios * jobs.block(job)}")["total_ios"]
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
    rig = targets.Rig(plan["images"], plan["modules"], plan["vdctl"])
    log.put(kind="versions", **targets.versions())
    rig.prepare(plan["targets"])
    nodes = {}
    failed = 0
    for name in plan["targets"]:
        try:
            nodes[name] = rig.attach(name)
            print(f"{name}: {nodes[name]}", flush=True)
        except (RuntimeError, OSError) as error:
            failed += 1
            log.put(kind="unavailable", target=name, why=str(error))
            print(f"{name}: cannot be set up: {error}", flush=True)
    (profile if plan["mode"] == "profile" else measure)(plan, nodes, log)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
