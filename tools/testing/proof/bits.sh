#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The axioms of arithmetic.c as questions about 64 bits, one for each shift: prints
# SMT-LIB. A solver that answers "unsat" to each has proved them.

echo '(set-logic QF_BV)'
echo '(declare-const n (_ BitVec 64))'

# Is there an n for which it does not hold?
refute() { # FORMULA
	printf '(push)\n(assert (not %s))\n(check-sat)\n(pop)\n' "$1"
}

powers=
for ((s = 0; s < 64; s++)); do
	p="#x$(printf '%016x' $((1 << s)))"
	k="(_ bv$s 64)"
	mask="(bvsub (bvshl (_ bv1 64) $k) (_ bv1 64))"
	powers+=" (= n $p)"
	# power, for this s
	refute "(and (= (bvshl (_ bv1 64) $k) $p) (bvuge $p (_ bv1 64))
		(bvule $p #x8000000000000000))"
	# split: the product is exact, as it comes apart again
	refute "(and (= (bvudiv (bvmul (bvlshr n $k) $p) $p) (bvlshr n $k))
		(bvuge (bvadd (bvmul (bvlshr n $k) $p) (bvand n $mask)) (bvand n $mask))
		(= n (bvadd (bvmul (bvlshr n $k) $p) (bvand n $mask))))"
	# rest
	refute "(bvult (bvand n $mask) $p)"
	# small
	refute "(and (bvule (bvand n $mask) n)
		(bvule (bvlshr n $k) (bvsub n (bvand n $mask))))"
done
# single
refute "(=> (not (= n (_ bv0 64)))
	(= (= (bvand n (bvsub n (_ bv1 64))) (_ bv0 64)) (or$powers)))"
