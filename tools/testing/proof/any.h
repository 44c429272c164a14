/* SPDX-License-Identifier: GPL-2.0-only */
/* Values that nothing is known of. */
#ifndef PROOF_ANY_H
#define PROOF_ANY_H

#include "__fc_builtin.h"
#include "vd_port.h"

#define any_u32()	Frama_C_unsigned_int_interval(0, U32_MAX)
#define any_u64()	Frama_C_unsigned_long_long_interval(0, U64_MAX)
#define any_of(low, high) Frama_C_unsigned_int_interval(low, high)
#define any_errno()	Frama_C_int_interval(-4095, -1)
#define maybe()		Frama_C_int_interval(0, 1)

#endif /* PROOF_ANY_H */
