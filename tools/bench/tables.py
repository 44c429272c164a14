# SPDX-License-Identifier: GPL-2.0-only
"""Tables and verdicts, in Markdown, from what `run` and `profile` found."""

from statistics import median

import jobs

DEEP = ("rr-4k-qd16", "rw-4k-qd16")
OURS = ("vdisk-raw", "vdisk-vmdk")
TWIN = {"vdisk-raw": "nbd-raw", "vdisk-vmdk": "nbd-vmdk"}

# Goals: instructions and IOPS as parts of loop's, IOPS as times qemu-nbd's.
GOAL_INSNS, MOON_INSNS = 0.95, 0.8
GOAL_IOPS, MOON_IOPS = 1.0, 1.4
GOAL_NBD = 4


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
        row = [jobs.JOBS[job][0]]
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
        row = [jobs.JOBS[job][0]]
        for name in names:
            runs = iops[job].get(name)
            row.append(cell(median(runs) if runs else None, ratio(iops, job, name, "loop"),
                            "{:,.0f}"))
        rows.append(row)
    return table(["job", *names], rows)


def verdict(value, reached, moon):
    if value is None:
        return "not measured"
    if moon:
        return "reached, and the far goal too"
    return "reached" if reached else "**not reached**"


def goal_rows(results):
    counted = results.get("counted", {}).get("iops", {})
    clocked = results.get("clocked", {}).get("iops", {})
    for job in DEEP:
        for name in OURS:
            if not jobs.applicable(job, name):
                continue
            what = f"{name}, {jobs.JOBS[job][0]}"
            part = ratio(counted, job, "loop", name)
            yield (what, f"instructions ≤ {GOAL_INSNS} of loop's (far: {MOON_INSNS})",
                   cell(part, None, "{:.2f}"),
                   verdict(part, part and part <= GOAL_INSNS, part and part <= MOON_INSNS))
            part = ratio(clocked, job, name, "loop")
            yield (what, f"IOPS ≥ {GOAL_IOPS} of loop's (far: {MOON_IOPS})",
                   cell(part, None, "{:.2f}"),
                   verdict(part, part and part >= GOAL_IOPS, part and part >= MOON_IOPS))
            for label, iops in (("by instructions", counted), ("by the clock", clocked)):
                part = ratio(iops, job, name, TWIN[name])
                yield (what, f"≥ {GOAL_NBD} times qemu-nbd {label}", cell(part, None, "{:.1f}"),
                       verdict(part, part and part >= GOAL_NBD, False))


def goals(results):
    return table(["target and job", "goal", "measured", "verdict"], goal_rows(results))


def nbd_table(results):
    """How many times qemu-nbd's requests ours are, both ways of measuring."""
    heads, rows = ["job"], []
    kinds = [(mode, name) for mode in ("counted", "clocked") for name in OURS if mode in results]
    labels = {"counted": "by instructions", "clocked": "by the clock"}
    heads += [f"{name} {labels[mode]}" for mode, name in kinds]
    for job in jobs.JOBS:
        parts = [ratio(results[mode]["iops"], job, name, TWIN[name]) for mode, name in kinds]
        rows.append([jobs.JOBS[job][0], *(cell(part, None, "{:.1f}") for part in parts)])
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


def profile(found, top=30):
    """One job's targets beside each other: by module, then by function, the
    dearest first."""
    costs = found["costs"]
    owners = {}
    for name, cost in costs.items():
        owners[name] = {}
        for function, insns_each in cost.items():
            key = owner(function)
            owners[name][key] = owners[name].get(key, 0) + insns_each
    head = [jobs.JOBS[found["job"]][0], *costs]
    total = ["sum", *(f"{sum(c.values()):,.0f}" for c in costs.values())]
    rows = profile_rows(owners, {o for c in owners.values() for o in c}, 100)
    text = table(head, rows + [total])
    rows = profile_rows(costs, {f for c in costs.values() for f in c}, top)
    return text + "\n" + table(["function", *costs], rows)
