# SPDX-License-Identifier: GPL-2.0-only
"""Tables and verdicts, in Markdown, from what `run` and `profile` found."""

from statistics import median
from typing import NamedTuple

import jobs

OURS = ("vdisk-raw", "vdisk-vmdk", "vdisk-vdi")
TWIN = {"vdisk-raw": "nbd-raw", "vdisk-vmdk": "nbd-vmdk", "vdisk-vdi": "nbd-vdi"}


class Goal(NamedTuple):
    """@value of a Results is at most (sign "≤") or at least @near, better @far."""
    target: str
    job: str
    value: str
    sign: str
    near: float
    far: float = None


def fast_goals(target, job):
    return (Goal(target, job, "insns_of_loop", "≤", 0.95, 0.8),
            Goal(target, job, "iops_of_loop", "≥", 1.0, 1.4),
            Goal(target, job, "insns_times_nbd", "≥", 4),
            Goal(target, job, "iops_times_nbd", "≥", 4))


def alloc_goals(target, job):
    return (Goal(target, job, "insns_of_nbd", "≤", 0.4),
            Goal(target, job, "iops_times_nbd", "≥", 5))


def format_goals(target):
    return (*fast_goals(target, "rr-4k-qd16"),
            Goal(target, "rw-4k-qd1", "insns_of_loop", "≤", 1.0),
            Goal(target, "rw-4k-qd16", "insns_of_loop", "≤", 1.0),
            *alloc_goals(target, "aw-4k-sync"), *alloc_goals(target, "aw-4k"),
            Goal(target, "rw-4k-sync", "flushes", "≤", 1),
            Goal(target, "aw-4k-sync", "commit_flushes", "≤", 2))


GOALS = (*fast_goals("vdisk-raw", "rr-4k-qd16"), *fast_goals("vdisk-raw", "rw-4k-qd16"),
         *format_goals("vdisk-vmdk"), *format_goals("vdisk-vdi"),
         Goal("vdisk-chain", "rr-4k-qd1", "insns_of_one", "≤", 1.15),
         Goal("vdisk-chain", "rr-4k-qd16", "insns_of_one", "≤", 1.15))

# How the report says it: what goes before the bound, and after it.
WORDS = {
    "insns_of_loop": ("instructions", " of loop's"),
    "iops_of_loop": ("IOPS", " of loop's"),
    "insns_of_nbd": ("instructions", " of qemu-nbd's"),
    "insns_times_nbd": ("", " times qemu-nbd by instructions"),
    "iops_times_nbd": ("", " times qemu-nbd by the clock"),
    "insns_of_one": ("instructions", " of those through one image"),
    "flushes": ("flushes of the file", " for each of the device"),
    "commit_flushes": ("flushes of the file", " for each of the device, beside growth"),
}


def columns(iops):
    return [t for t in jobs.TARGETS if any(t in row for row in iops.values())]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def insns(iops, job, target):
    """Time is instructions: one a nanosecond."""
    runs = iops.get(job, {}).get(target)
    return 1e9 / median(runs) if runs else None


def ratio(iops, job, target, base):
    """Each round against the same round's, then the median."""
    row = iops.get(job, {})
    if not row.get(target) or not row.get(base):
        return None
    return median(a / b for a, b in zip(row[target], row[base]))


def cell(value, part, form):
    if value is None:
        return "–"
    return form.format(value) + ("" if part is None else f" ({part:.2f})")


def counted_table(section):
    iops = section["iops"]
    names = columns(iops)
    rows = []
    for job in iops:
        row = [jobs.JOBS[job].title]
        for name in names:
            part = ratio(iops, job, "loop", name)  # fewer instructions: more IOPS
            row.append(cell(insns(iops, job, name), part, "{:,.0f}"))
        rows.append(row)
    return table(["job", *names], rows)


def clocked_table(section):
    iops = section["iops"]
    names = columns(iops)
    rows = []
    for job in iops:
        row = [jobs.JOBS[job].title]
        for name in names:
            runs = iops[job].get(name)
            row.append(cell(median(runs) if runs else None, ratio(iops, job, name, "loop"),
                            "{:,.0f}"))
        rows.append(row)
    return table(["job", *names], rows)


class Results:
    """What goals are about, by name."""

    def __init__(self, results):
        self.counted = results.get("counted", {}).get("iops", {})
        self.clocked = results.get("clocked", {}).get("iops", {})
        self.sent = results.get("counted", {}).get("flushes", {})

    def insns_of_loop(self, job, target):
        return ratio(self.counted, job, "loop", target)

    def iops_of_loop(self, job, target):
        return ratio(self.clocked, job, target, "loop")

    def insns_of_nbd(self, job, target):
        return ratio(self.counted, job, TWIN[target], target)

    def insns_times_nbd(self, job, target):
        return ratio(self.counted, job, target, TWIN[target])

    def iops_times_nbd(self, job, target):
        return ratio(self.clocked, job, target, TWIN[target])

    def insns_of_one(self, job, target):
        return ratio(self.counted, job, "vdisk-vmdk", target)

    def flushes(self, job, target):
        of_device, of_file = self.sent.get(job, {}).get(target, (0, 0))
        return of_file / of_device if of_device else None

    def commit_flushes(self, job, target):
        """Without those that the same writes cost with one fsync at their end: that
        one was a commit of two."""
        of_device, of_file = self.sent.get(job, {}).get(target, (0, 0))
        last, alone = self.sent.get(job.removesuffix("-sync"), {}).get(target, (0, 0))
        return (of_file - (alone - 2 * last)) / of_device if of_device and last else None


def reaches(goal, value, bound):
    # As precise as the page: two digits.
    return round(value, 2) <= bound if goal.sign == "≤" else round(value, 2) >= bound


def verdict(goal, value):
    if value is None:
        return "not measured"
    if goal.far and reaches(goal, value, goal.far):
        return "reached, and the far goal too"
    return "reached" if reaches(goal, value, goal.near) else "**not reached**"


def goal_row(goal, results):
    value = getattr(results, goal.value)(goal.job, goal.target)
    before, after = WORDS[goal.value]
    far = f" (far: {goal.far})" if goal.far else ""
    text = f"{before} {goal.sign} {goal.near}{after}{far}".strip()
    form = "{:.1f}" if "times" in goal.value else "{:.2f}"
    return (f"{goal.target}, {jobs.JOBS[goal.job].title}", text, cell(value, None, form),
            verdict(goal, value))


def goals(results):
    found = Results(results)
    return table(["target and job", "goal", "measured", "verdict"],
                 [goal_row(goal, found) for goal in GOALS])


def flush_table(section):
    """For each flush that the device was sent."""
    found = section["flushes"]
    names = columns(found)
    rows = []
    for job, row in found.items():
        cells = (row.get(name) for name in names)
        rows.append([jobs.JOBS[job].title,
                     *(f"{c[1] / c[0]:.2f} ({c[1]} / {c[0]})" if c and c[0] else "–"
                       for c in cells)])
    return table(["job", *names], rows)


def nbd_table(results):
    """How many times qemu-nbd's requests ours are, both ways of measuring."""
    heads, rows = ["job"], []
    kinds = [(mode, name) for mode in ("counted", "clocked") for name in OURS if mode in results]
    labels = {"counted": "by instructions", "clocked": "by the clock"}
    heads += [f"{name} {labels[mode]}" for mode, name in kinds]
    for job in jobs.JOBS:
        parts = [ratio(results[mode]["iops"], job, name, TWIN[name]) for mode, name in kinds]
        if any(parts):
            rows.append([jobs.JOBS[job].title, *(cell(part, None, "{:.1f}") for part in parts)])
    return table(heads, rows)


def provenance(section):
    text = (f"{section['date']}, commit {section['commit']}, Linux {section.get('kernel', '?')}, "
            f"QEMU {section['qemu']}, {section.get('fio', 'fio')}, {section.get('cpus', '?')} CPU")
    lines = [text + ("s.\n" if section.get("cpus", 1) > 1 else ".\n")]
    lines += [f"\nNot measured: {name}: {why}\n" for name, why in section["missing"].items()]
    return "".join(lines)


def render(results):
    parts = ["## Goals\n", goals(results)]
    if "counted" in results:
        parts += ["## Instructions for each I/O (in parentheses: of loop's; less is better)\n",
                  provenance(results["counted"]), counted_table(results["counted"])]
    if "clocked" in results:
        parts += ["## I/O operations a second (in parentheses: of loop's; more is better)\n",
                  provenance(results["clocked"]), clocked_table(results["clocked"])]
    if results.get("counted", {}).get("flushes"):
        parts += ["## Flushes of the file for each flush of the device\n",
                  provenance(results["counted"]), flush_table(results["counted"])]
    parts += ["## Times qemu-nbd, on an image of the same format (more is better)\n",
              nbd_table(results)]
    return "\n".join(parts)


def owner(function):
    """The module a function is part of, as /proc/kallsyms writes it."""
    if function.endswith("]"):
        return function[function.rindex("["):]
    return function if function.startswith("(") else "(kernel)"


def profile_rows(costs, keys, limit):
    order = sorted(keys, key=lambda f: -max(c.get(f, 0) for c in costs.values()))
    order = [f for f in order if max(c.get(f, 0) for c in costs.values()) >= 1]
    rows = [[f"`{f}`", *(f"{c.get(f, 0):,.0f}" for c in costs.values())] for f in order[:limit]]
    if len(order) > limit:
        rows.append([f"{len(order) - limit} more",
                     *(f"{sum(c.get(f, 0) for f in order[limit:]):,.0f}"
                       for c in costs.values())])
    return rows


def profile(job, found, top=30):
    """One job's targets beside each other: by module, then by function, the
    dearest first."""
    costs = found["costs"]
    owners = {}
    for name, cost in costs.items():
        owners[name] = {}
        for function, insns_each in cost.items():
            key = owner(function)
            owners[name][key] = owners[name].get(key, 0) + insns_each
    head = [jobs.JOBS[job].title, *costs]
    total = ["sum", *(f"{sum(c.values()):,.0f}" for c in costs.values())]
    rows = profile_rows(owners, {o for c in owners.values() for o in c}, 100)
    text = table(head, rows + [total])
    rows = profile_rows(costs, {f for c in costs.values() for f in c}, top)
    return text + "\n" + table(["function", *costs], rows)
