#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Write the netlink specification as tables of C: spec.py SPEC HEADER.

The tables are of the types in nlfuzz.h. Whatever the fuzzer knows of commands,
attributes and numbers comes from here, so what is new in the specification is
fuzzed without anybody thinking of it.
"""

import re
import sys

try:
    import yaml
except ImportError:
    # PyYAML may belong to the system's Python only.
    if sys.executable != "/usr/bin/python3":
        import os
        os.execv("/usr/bin/python3", ["/usr/bin/python3"] + sys.argv)
    sys.exit("python3-yaml is not installed")

TYPES = {"pad", "u8", "u16", "u32", "u64", "s32", "s64", "string", "binary", "flag", "nest"}


def c_name(*parts):
    return "_".join(parts).lower().replace("-", "_")


def entries(definition):
    """(name, number) of an enum's or a flags' entries, by the YNL rules."""
    value = definition.get("value-start", 0)
    for entry in definition["entries"]:
        name = entry if isinstance(entry, str) else entry["name"]
        if not isinstance(entry, str):
            value = entry.get("value", value)
        yield name, (1 << value if definition["type"] == "flags" else value)
        value += 1


class Spec:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.spec = yaml.safe_load(file)
        definitions = self.spec["definitions"]
        self.consts = {d["name"]: d["value"] for d in definitions if d["type"] == "const"}
        self.enums = [d for d in definitions if d["type"] in ("enum", "flags")]
        self.sets = self.spec["attribute-sets"]
        self.lines = []

    def put(self, line):
        self.lines.append(line)

    def table(self, ctype, name, rows):
        """An array and its length; there is always a row, as C wants one."""
        self.put(f"static const {ctype} {name}[] = {{")
        for row in rows or ["{ 0 }" if ctype.startswith("struct") else "0"]:
            self.put(f"\t{row},")
        self.put("};")
        self.put("")

    def number(self, value):
        """A check's limit: a number or the name of a constant."""
        return self.consts[value] if isinstance(value, str) else value

    def enum_index(self, name):
        names = [e["name"] for e in self.enums]
        return names.index(name) if name in names else -1

    def set_index(self, name):
        return [s["name"] for s in self.sets].index(name)

    def numbers(self, set_name):
        """name -> number of the attributes of a set."""
        value, found = 1, {}
        for attribute in self.sets[self.set_index(set_name)]["attributes"]:
            value = attribute.get("value", value)
            found[attribute["name"]] = value
            value += 1
        return found

    def write_enums(self):
        for enum in self.enums:
            self.table("struct spec_value", c_name("values", enum["name"]),
                       ['{ "%s", %#xULL }' % entry for entry in entries(enum)])
        self.table("struct spec_enum", "spec_enums",
                   ['{ "%s", %d, values_%s, %d }' % (
                       e["name"], e["type"] == "flags", c_name(e["name"]), len(e["entries"]))
                    for e in self.enums])
        self.table("struct spec_value", "spec_consts",
                   ['{ "%s", %#xULL }' % c for c in self.consts.items()])

    def fields(self, attribute):
        """Fields of a binary attribute, as its doc has them: NAME TYPE @OFFSET."""
        found = re.findall(r"(\w+) ([su])(\d+)(?:\[(\d+)\])? @(\d+)", attribute.get("doc", ""))
        rows = []
        for name, sign, bits, count, offset in found:
            enum = self.enum_index(name)
            if name == "flags":
                enum = self.enum_index(attribute["name"])
            rows.append('{ "%s", %s, %d, %d, %d, %d }' % (
                name, offset, int(bits) // 8, int(count or 1), sign == "s", enum))
        return rows

    def attribute_row(self, set_name, attribute, number):
        kind = attribute["type"]
        if kind not in TYPES:
            sys.exit(f"attribute {attribute['name']}: the fuzzer has no type {kind}")
        checks = attribute.get("checks", {})
        fields = self.fields(attribute)
        row = [f'.name = "{attribute["name"]}"', f".number = {number}",
               f".type = SPEC_{kind.upper()}", f".multi = {int(attribute.get('multi-attr', False))}",
               f".enum_nr = {self.enum_index(attribute.get('enum'))}",
               f".fields = {c_name('fields', set_name, attribute['name'])}, .nr_fields = {len(fields)}"]
        for check, field in (("exact-len", "exact_len"), ("max-len", "max_len"),
                             ("min", "min"), ("max", "max")):
            if check in checks:
                row.append(f".{field} = {self.number(checks[check])}ULL")
        if kind == "nest":
            row.append(f".nested = {self.set_index(attribute['nested-attributes'])}")
        return "{ " + ", ".join(row) + " }"

    def write_sets(self):
        for one in self.sets:
            numbers = self.numbers(one["name"])
            for attribute in one["attributes"]:
                self.table("struct spec_field", c_name("fields", one["name"], attribute["name"]),
                           self.fields(attribute))
            self.table("struct spec_attr", c_name("attrs", one["name"]),
                       [self.attribute_row(one["name"], a, numbers[a["name"]])
                        for a in one["attributes"]])
        self.table("struct spec_set", "spec_sets",
                   ['{ "%s", attrs_%s, %d }' % (s["name"], c_name(s["name"]), len(s["attributes"]))
                    for s in self.sets])

    def command_row(self, operation, number):
        numbers = self.numbers(operation["attribute-set"])
        name = operation["name"]
        do, dump = operation.get("do", {}), operation.get("dump", {})
        row = [f'.name = "{name}"', f".number = {number}",
               f".set = {self.set_index(operation['attribute-set'])}",
               f".admin = {int('admin-perm' in operation.get('flags', []))}",
               f".has_do = {int('do' in operation)}, .has_dump = {int('dump' in operation)}"]
        for what, lists in (("request", [do.get("request")]),
                            ("reply", [do.get("reply"), dump.get("reply")])):
            wanted = sorted({numbers[a] for one in lists if one for a in one["attributes"]})
            table = c_name(what, name)
            self.table("uint16_t", table, [str(n) for n in wanted])
            row.append(f".{what} = {table}, .nr_{what} = {len(wanted)}")
        row.append(f".replies = {int(bool(do.get('reply')))}")
        return "{ " + ", ".join(row) + " }"

    def write_commands(self):
        rows, value = [], 1
        for operation in self.spec["operations"]["list"]:
            value = operation.get("value", value)
            rows.append(self.command_row(operation, value))
            value += 1
        self.table("struct spec_cmd", "spec_cmds", rows)


def main():
    spec = Spec(sys.argv[1])
    spec.put("/* SPDX-License-Identifier: GPL-2.0-only */")
    spec.put(f"/* Made by {sys.argv[0]} from {sys.argv[1]}. */")
    spec.write_enums()
    spec.write_sets()
    spec.write_commands()
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(spec.lines) + "\n")


main()
