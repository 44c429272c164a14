#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compare the netlink spec, the uapi header and the kernel's policy tables.

The compiler, not a parser, says what the header's numbers are: each name is
printed by a compiled probe. One TAP line for each group of names.
"""

import os
import re
import subprocess
import sys
import tempfile

import yaml

SPEC = "Documentation/netlink/specs/vdisk.yaml"
HEADER = "include/uapi/linux/vdisk.h"
NETLINK = "kernel/netlink.c"

# Spec definition -> C enum whose enumerators it lists.
ENUMS = {
    "format": "vdisk_format",
    "seg": "vdisk_segment_kind",
    "state": "vdisk_state",
    "detach": "vdisk_detach_mode",
    "event": "vdisk_event",
}

# Spec flags -> pattern of the #defines that it must list completely.
FLAGS = {"member": "VDISK_MEMBER_", "segf": "VDISK_SEGF_", "f": "VDISK_F_"}

# Unions of flags and the like: in the header only, by design.
DERIVED = {"VDISK_MEMBER_FLAGS", "VDISK_SEGF_FLAGS", "VDISK_F_SETTABLE"}

C_TYPES = {"u8": "__u8", "u32": "__u32", "s32": "__s32", "u64": "__u64"}

POLICY_TYPES = {
    "u32": ("NLA_U32", "NLA_POLICY_RANGE(NLA_U32", "NLA_POLICY_MAX(NLA_U32",
            "NLA_POLICY_MASK(NLA_U32", "NLA_POLICY_MIN(NLA_U32"),
    "u64": ("NLA_U64",),
    "string": ("NLA_NUL_STRING",),
    "binary": ("NLA_POLICY_EXACT_LEN", "NLA_BINARY"),
}


def c_name(*parts):
    return "_".join(parts).upper().replace("-", "_")


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def result(self, name, problems):
        self.count += 1
        for problem in problems:
            print(f"# {problem}")
        if problems:
            self.failed += 1
        print(f"{'not ok' if problems else 'ok'} {self.count} - {name}", flush=True)

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}", flush=True)


class Header:
    """The header's names by text, its numbers by a compiled program."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        self.path = path

    def enumerators(self, enum):
        match = re.search(r"enum\s+%s\s*\{(.*?)\}" % re.escape(enum), self.text, re.S)
        if not match:
            return None
        return re.findall(r"^\s*(\w+)", match.group(1), re.M)

    def enums(self):
        return re.findall(r"enum\s+(\w+)\s*\{", self.text)

    def defines(self, prefix):
        return re.findall(r"^#define\s+(%s\w*)\b(?!\()" % prefix, self.text, re.M)

    def structs(self):
        """name -> list of (C type, field, array length as written or '')."""
        found = {}
        for name, body in re.findall(r"struct\s+(\w+)\s*\{(.*?)\}", self.text, re.S):
            found[name] = re.findall(r"(__\w+)\s+(\w+)\s*(?:\[(\w+)\])?\s*;", body)
        return found

    def string(self, name):
        match = re.search(r'#define\s+%s\s+"([^"]*)"' % name, self.text)
        return match.group(1) if match else None

    def number(self, expression):
        """What an array's length is; 0 for a plain field."""
        return self.evaluate([expression])[expression] if expression else 0

    def evaluate(self, expressions):
        """Compile a program that prints each expression; dict of ints."""
        lines = ['#include <stddef.h>', '#include <stdio.h>', f'#include "{os.path.abspath(self.path)}"',
                 "int main(void)", "{"]
        lines += ['\tprintf("%%llu\\n", (unsigned long long)(%s));' % e for e in expressions]
        lines += ["\treturn 0;", "}"]
        with tempfile.TemporaryDirectory() as tmp:
            source = os.path.join(tmp, "probe.c")
            binary = os.path.join(tmp, "probe")
            with open(source, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            compiler = os.environ.get("CC", "cc").split()
            subprocess.run(compiler + ["-Iinclude/uapi", "-o", binary, source], check=True)
            output = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
        return dict(zip(expressions, map(int, output.split())))


def entries(definition):
    """(name, number) of an enum's or a flags' entries, by the YNL rules."""
    value = definition.get("value-start", 0)
    for entry in definition["entries"]:
        if isinstance(entry, str):
            name = entry
        else:
            name = entry["name"]
            value = entry.get("value", value)
        yield name, (1 << value if definition["type"] == "flags" else value)
        value += 1


def compare(wanted, actual_names, header):
    """Names of the spec with their numbers against names of the header."""
    problems = []
    names = set(actual_names)
    present = [n for n in wanted if n in names]
    problems += [f"{n} is in the spec only" for n in wanted if n not in names]
    problems += [f"{n} is in the header only" for n in actual_names if n not in wanted]
    for name, number in header.evaluate(present).items():
        if number != wanted[name]:
            problems.append(f"{name} is {number} in the header, {wanted[name]} in the spec")
    return problems


def check_constants(spec, header, tap):
    wanted = {c_name("vdisk", d["name"]): d["value"]
              for d in spec["definitions"] if d["type"] == "const"}
    names = (header.defines("VDISK_MAX_") + header.defines("VDISK_NO_MEMBER") +
             header.defines("VDISK_PATCH_BYTES"))
    tap.result("constants", compare(wanted, names, header))

    problems = []
    if header.string("VDISK_GENL_NAME") != spec["name"]:
        problems.append(f"family name: {header.string('VDISK_GENL_NAME')} and {spec['name']}")
    groups = [g["name"] for g in spec["mcast-groups"]["list"]]
    if groups != [header.string("VDISK_GENL_MCGRP")]:
        problems.append(f"multicast group: {header.string('VDISK_GENL_MCGRP')} and {groups}")
    tap.result("family and multicast group names", problems)


def check_enums(spec, header, tap):
    defined = {d["name"]: d for d in spec["definitions"]}
    for name, enum in ENUMS.items():
        wanted = {c_name("vdisk", name, entry): number for entry, number in entries(defined[name])}
        actual = [n for n in header.enumerators(enum) or [] if not n.startswith("__")]
        tap.result(f"enum {enum}", compare(wanted, actual, header))
    for name, prefix in FLAGS.items():
        wanted = {c_name("vdisk", name, entry): number for entry, number in entries(defined[name])}
        actual = [n for n in header.defines(prefix) if n not in DERIVED]
        tap.result(f"flags {prefix}*", compare(wanted, actual, header))
    known = set(ENUMS.values()) | {"vdisk_cmd", "vdisk_attr"}
    tap.result("no enum of the header is missing in the spec",
               [f"enum {e} has no definition" for e in header.enums() if e not in known] +
               [f"definition {d['name']} is not compared" for d in spec["definitions"]
                if d["type"] != "const" and d["name"] not in {**ENUMS, **FLAGS}])


def check_attributes(spec, header, tap):
    attributes = spec["attribute-sets"][0]["attributes"]
    value = 1
    wanted = {}
    for attribute in attributes:
        value = attribute.get("value", value)
        wanted[c_name("vdisk-a", attribute["name"])] = value
        value += 1
    actual = [n for n in header.enumerators("vdisk_attr")
              if not n.startswith("__") and n != "VDISK_A_UNSPEC"]
    tap.result("attribute numbers", compare(wanted, actual, header))

    value = 1
    wanted = {}
    for operation in spec["operations"]["list"]:
        value = operation.get("value", value)
        wanted[c_name("vdisk-cmd", operation["name"])] = value
        value += 1
    actual = [n for n in header.enumerators("vdisk_cmd")
              if not n.startswith("__") and n != "VDISK_CMD_UNSPEC"]
    tap.result("command numbers", compare(wanted, actual, header))


def check_references(spec, tap):
    """Every name that the spec uses is defined in it."""
    problems = []
    attributes = {a["name"] for a in spec["attribute-sets"][0]["attributes"]}
    defined = {d["name"] for d in spec["definitions"]}
    for attribute in spec["attribute-sets"][0]["attributes"]:
        if "enum" in attribute and attribute["enum"] not in defined:
            problems.append(f"{attribute['name']}: enum {attribute['enum']} is not defined")
        for check in attribute.get("checks", {}).values():
            if isinstance(check, str) and check not in defined:
                problems.append(f"{attribute['name']}: {check} is not defined")
    for operation in spec["operations"]["list"]:
        lists = [operation.get("event", {})]
        for kind in ("do", "dump"):
            lists += operation.get(kind, {}).values()
        for names in lists:
            problems += [f"{operation['name']}: no attribute {n}"
                         for n in names.get("attributes", []) if n not in attributes]
    tap.result("the spec's references resolve", problems)


def check_structs(spec, header, tap):
    structs = header.structs()
    seen = set()
    for attribute in spec["attribute-sets"][0]["attributes"]:
        if attribute["type"] != "binary":
            continue
        doc = attribute["doc"]
        match = re.search(r"struct (\w+):", doc)
        name = match.group(1) if match else "?"
        fields = [(f, t, n, int(o)) for f, t, n, o in
                  re.findall(r"(\w+) ([su]\d+)(?:\[(\d+)\])? @(\d+)", doc)]
        seen.add(name)
        problems = []
        if name not in structs:
            problems = [f"attribute {attribute['name']}: the header has no struct {name}"]
        else:
            in_header = [(C, f, header.number(n)) for C, f, n in structs[name]]
            in_spec = [(C_TYPES[t], f, int(n or 0)) for f, t, n, _ in fields]
            if in_header != in_spec:
                problems.append(f"fields: {in_header} in the header, {in_spec} in the spec")
            else:
                size = f"sizeof(struct {name})"
                wanted = {f"offsetof(struct {name}, {f})": o for f, _, _, o in fields}
                wanted[size] = attribute["checks"]["exact-len"]
                for expression, number in header.evaluate(list(wanted)).items():
                    if number != wanted[expression]:
                        problems.append(f"{expression}: {number}, the spec says {wanted[expression]}")
        tap.result(f"struct {name}", problems)
    tap.result("no struct of the header is missing in the spec",
               [f"struct {s}" for s in structs if s not in seen])


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def policies(text):
    """Table name -> attribute -> initializer."""
    found = {}
    pattern = r"struct nla_policy\s+(\w+)\s*\[[^\]]*\]\s*=\s*\{(.*?)\n\};"
    for table, body in re.findall(pattern, text, re.S):
        entries_of = re.findall(r"\[(VDISK_A_\w+)\]\s*=\s*(.*?)(?=,\s*\[|,?\s*\Z)", body, re.S)
        found[table] = {name: " ".join(value.split()) for name, value in entries_of}
    return found


def handlers(text):
    """Command -> its other fields, from the table of genl_ops."""
    found = {}
    for body in re.findall(r"\{\s*(\.cmd\s*=.*?)\}", text, re.S):
        fields = dict(re.findall(r"\.(\w+)\s*=\s*([^,]+?)\s*(?:,|$)", body))
        found[fields.pop("cmd")] = fields
    return found


def check_entry(attribute, value, header):
    """One policy entry against one attribute of the spec."""
    name = c_name("vdisk-a", attribute["name"])
    flat = value.replace(" ", "")
    if not any(kind in flat for kind in POLICY_TYPES.get(attribute["type"], ())):
        return [f"{name}: {attribute['type']} in the spec, {value} in {NETLINK}"]
    checks = attribute.get("checks", {})
    wanted = checks.get("max-len", checks.get("exact-len"))
    limit = re.search(r"\.len\s*=\s*([^,}]+)|EXACT_LEN\((.*)\)\s*$", value)
    if (wanted is None) != (limit is None):
        return [f"{name}: length limit {wanted} in the spec, {value} in {NETLINK}"]
    if limit:
        expression = (limit.group(1) or limit.group(2)).strip()
        number = header.evaluate([expression])[expression]
        if number != wanted:
            return [f"{name}: length {wanted} in the spec, {number} in {NETLINK}"]
    return []


def check_operation(operation, fields, tables, attributes, header):
    """One command's handler against the spec."""
    name = operation["name"]
    policy = tables.get(fields.get("policy"), {})
    wanted = set(operation.get("do", {}).get("request", {}).get("attributes", []))
    has = {a[len("VDISK_A_"):].lower().replace("_", "-") for a in policy}
    problems = [f"{name}: {a} has no policy" for a in sorted(wanted - has)]
    problems += [f"{name}: {a} has a policy and is not in the request" for a in sorted(has - wanted)]
    for attribute, value in policy.items():
        short = attribute[len("VDISK_A_"):].lower().replace("_", "-")
        if short in attributes:
            problems += check_entry(attributes[short], value, header)
        else:
            problems.append(f"{name}: {attribute} is not in the spec")
    admin = "admin-perm" in operation.get("flags", [])
    if admin != ("GENL_ADMIN_PERM" in fields.get("flags", "")):
        problems.append(f"{name}: admin-perm {admin} in the spec, not so in {NETLINK}")
    for kind, callback in (("do", "doit"), ("dump", "dumpit")):
        if (kind in operation) != (callback in fields):
            problems.append(f"{name}: {kind} in the spec or {callback} in {NETLINK}, not both")
    return problems


def check_kernel(spec, header, tap):
    if not os.path.exists(NETLINK):
        tap.result("the kernel's commands and policies", [f"no {NETLINK}"])
        return
    with open(NETLINK, encoding="utf-8") as file:
        text = without_comments(file.read())
    tables = policies(text)
    ops = handlers(text)
    attributes = {a["name"]: a for a in spec["attribute-sets"][0]["attributes"]}
    commands = {c_name("vdisk-cmd", o["name"]): o for o in spec["operations"]["list"]
                if "do" in o or "dump" in o}
    tap.result("the kernel's command table",
               [f"{c} is not handled" for c in sorted(commands.keys() - ops.keys())] +
               [f"{c} is handled and no command of the spec"
                for c in sorted(ops.keys() - commands.keys())])
    for command in sorted(commands.keys() & ops.keys()):
        tap.result(f"policy and permission of {command}",
                   check_operation(commands[command], ops[command], tables, attributes, header))


def main():
    with open(SPEC, encoding="utf-8") as file:
        spec = yaml.safe_load(file)
    header = Header(HEADER)
    tap = Tap()
    check_constants(spec, header, tap)
    check_enums(spec, header, tap)
    check_attributes(spec, header, tap)
    check_references(spec, tap)
    check_structs(spec, header, tap)
    check_kernel(spec, header, tap)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


sys.exit(main())
