// SPDX-License-Identifier: GPL-2.0-only
/*
 * In which order an image's bytes become durable: two writers, a flusher, a
 * write-back cache that writes what it likes when it likes, and power that may
 * go between any two steps. Documentation/proof.rst says which function each
 * part stands for, and what is left out.
 *
 * -DCOUNTER: the file counts its places, and others append where it says (VDI). -DPACK:
 * when the writers have ended, what lies in place 2 moves into place 1, if that is free.
 *
 * A mistake can be made on purpose by -D: NO_BARRIER, EARLY_PUBLISH, EARLY_REUSE,
 * NO_WAIT, NO_SHADOW, LATE_CLEAN, SHARE_RUNNING, LATE_FREED, NO_DRAIN, NO_PENDING,
 * FIRST_COPY_FIRST, LATE_COUNTER, EARLY_MOVE, EARLY_PUNCH, NO_SETTLE.
 */

#ifndef OPS0
#define OPS0	1	/* operations of each writer */
#endif
#ifndef OPS1
#define OPS1	1
#endif
#ifndef FLUSHERS
#define FLUSHERS	2
#endif
#ifndef COPIES
#define COPIES	2	/* of the map: grain tables and redundant ones */
#endif

#define UNITS	2	/* of the guest, 0 and 1 */
#define WORDS	(COPIES * UNITS)
#define PLACES	2	/* in the file, 1 and 2; 0 in the map is "none" */

/*
 * What can lie in a place: content 0 is zeros, 1 is what unit 0 holds at first,
 * 2 and more is what a writer put there; GARBAGE was there before the image.
 */
#define FIRST	2
#define GARBAGE	7
#define NOBODY	3

#define bit_of(v)	(1 << (v))

/* --- the file: what was written last, and what is durable --- */
byte data[PLACES + 1], durable_data[PLACES + 1];
byte map[WORDS], durable_map[WORDS];
bool dirty;		/* vd_file.dirty */

/* What a flush that is under way must still make durable. */
byte flush_data[PLACES + 1], flush_map[WORDS];
bool need_data[PLACES + 1], need_map[WORDS];

/*
 * --- the metadata cache: what everybody sees, and what the commit writes ---
 * All words of a copy lie in one granule, which is written as a whole.
 */
byte cached[WORDS], to_write[WORDS];
bool changed[COPIES], taken[COPIES];

#ifdef COUNTER
/* As the map, in a granule of its own. It only grows, so a snapshot is what it is then. */
byte counted, count_to_write, count, flush_count, durable_count;
#endif
#ifdef PACK
byte writers_left;
#endif

/* --- places --- */
mtype = { FREE, USED, FREED, UNMAPPING, LIMBO, DRAINING };
mtype place[PLACES + 1];
byte freed_from[PLACES + 1];	/* unit */
bit epoch;
byte inside[2];

/* --- locks and tokens --- */
bool alloc_lock, commit_lock, flush_lock;
bool token[UNITS];
byte started, ended;		/* commits */

/*
 * --- what was promised ---
 * Each is a set of contents for each unit. Acknowledged; older than something
 * acknowledged; the same when a flush began; not to be seen after a power cut.
 */
byte acked[UNITS], older[UNITS], older_at_flush[2 * UNITS], stale[UNITS];
byte before[2];			/* acknowledged when a writer's operation began */
byte target[2];			/* whose unit is */
byte owner[GARBAGE + 1];	/* unit of each content */

/*
 * A lock is taken in one step with what it guards, and released with the last of
 * that: nobody could tell. What others see without it has steps of its own.
 */
inline lock(l)
{
	!l -> l = true
}

/* --- flush of the file: vd_writer_flush(), vd_file_flush() --- */

/* What is changed from here on may miss it, so the mark goes first. */
inline flush_begins()
{
	d_step {
		for (x : 1 .. PLACES) {
			flush_data[x] = data[x];
			need_data[x] = durable_data[x] != data[x];
		}
		for (x : 0 .. WORDS - 1) {
			flush_map[x] = map[x];
			need_map[x] = durable_map[x] != map[x];
		}
		x = 0;
#ifdef COUNTER
		flush_count = count;
#endif
	}
}

inline flush_ends()
{
	d_step {
		for (x : 1 .. PLACES) {
			if
			:: need_data[x] -> durable_data[x] = flush_data[x]
			:: else
			fi;
			need_data[x] = false;
			flush_data[x] = 0;
		}
		for (x : 0 .. WORDS - 1) {
			if
			:: need_map[x] -> durable_map[x] = flush_map[x]
			:: else
			fi;
			need_map[x] = false;
			flush_map[x] = 0;
		}
		x = 0;
#ifdef COUNTER
		durable_count = (durable_count < flush_count -> flush_count : durable_count);
		flush_count = 0;
#endif
#ifdef LATE_CLEAN
		dirty = false;
#endif
		flush_lock = false;
	}
}

inline flush_file()
{
	if
	:: atomic { !flush_lock && dirty -> flush_lock = true; dirty = false; flush_begins() };
	   flush_ends()
	:: !flush_lock && !dirty
	fi
}

/* --- commit: vd_commit(), commit_once(), write_ranks(), reclaim() --- */

inline take_ranges()
{
	d_step {
		for (x : 1 .. PLACES) {
			if
			:: place[x] == FREED -> place[x] = UNMAPPING
			:: else
			fi;
		}
		x = 0;
	}
}

inline take_snapshot()
{
	d_step {
		for (x : 0 .. WORDS - 1) {
			to_write[x] = (changed[x / UNITS] -> cached[x] : 0);
		}
		for (x : 0 .. COPIES - 1) {
			taken[x] = changed[x];
			changed[x] = false;
		}
		x = 0;
#ifdef COUNTER
		count_to_write = counted;
#endif
	}
}

#ifdef COUNTER
inline write_counter()
{
	d_step {
		if
		:: count != count_to_write -> count = count_to_write; dirty = true
		:: else
		fi;
		count_to_write = 0;
	}
}
#endif

/* In one step: the cache writes back any of them, in any order. */
inline write_maps()
{
	d_step {
		for (x : 0 .. WORDS - 1) {
			if
			:: taken[x / UNITS] ->
#ifdef NO_SHADOW
			   map[x] = cached[x];
#else
			   map[x] = to_write[x];
#endif
			:: else
			fi;
			to_write[x] = 0;
		}
		for (x : 0 .. COPIES - 1) {
			taken[x] = false;
		}
		x = 0;
		dirty = true;
	}
}

inline move_all(from, to)
{
	for (x : 1 .. PLACES) {
		if
		:: place[x] == from -> place[x] = to
		:: else
		fi;
	}
	x = 0;
}

/* Who entered before the last change of the epoch is gone. */
#ifdef NO_DRAIN
#define drained	true
#else
#define drained	(inside[1 - epoch] == 0)
#endif

inline ranges_unmapped()
{
	d_step {
		move_all(UNMAPPING, LIMBO);
#ifdef LATE_FREED
		move_all(FREED, LIMBO);
#endif
	}
}

/* Under the spinlock. Who enters does not take it: see enter(). */
inline reclaim()
{
	d_step {
		if
		:: drained ->
		   move_all(DRAINING, FREE);
		   move_all(LIMBO, DRAINING);
		   epoch = 1 - epoch;
		   if
		   :: drained -> move_all(DRAINING, FREE)
		   :: else
		   fi;
		:: else
		fi;
	}
}

inline commit_once()
{
	take_ranges();
	take_snapshot();
#if defined(COUNTER) && !defined(LATE_COUNTER)
	write_counter();
#endif
#ifndef NO_BARRIER
	flush_file();		/* data before maps */
#endif
	if
	:: taken[0] || taken[COPIES - 1] ->
	   write_maps();
	   flush_file();
	:: else
	fi;
#ifdef LATE_COUNTER
	write_counter();
	flush_file();
#endif
	ranges_unmapped();
	reclaim();
}

inline commit()
{
#ifdef NO_WAIT
	flush_file();
#else
#ifdef SHARE_RUNNING
	wanted = (started != ended -> started : started + 1);
#else
	wanted = started + 1;
#endif
	if
	:: atomic { !commit_lock && ended < wanted -> commit_lock = true; started++; wanted = 0 };
	   commit_once();
	   d_step { ended = started; commit_lock = false }
	:: atomic { !commit_lock && ended >= wanted -> wanted = 0 }
	fi;
#endif
}

/* --- writers: write_once(), vd_reserve(), vd_publish(), vd_clear() --- */

inline enter()
{
	do
	:: e = epoch;
	   inside[e]++;
	   if
	   :: atomic { epoch == e -> break }
	   :: atomic { epoch != e -> inside[e]--; e = 0 }
	   fi;
	od;
}

/*
 * The unit's map word changes in the cache, in one copy after the other; the one
 * that is asked comes last.
 */
inline set_copy(copy, value)
{
	cached[(copy) * UNITS + unit] = value;
	changed[copy] = true;
}

#ifdef FIRST_COPY_FIRST
#define EARLIER	0
#define LATER	(COPIES - 1)
#else
#define EARLIER	(COPIES - 1)
#define LATER	0
#endif

#define is_pending(p) \
	((place[p] == FREED || place[p] == UNMAPPING) && freed_from[p] == unit)
#ifdef NO_PENDING
#define pending	false
#else
#define pending	(COPIES > 1 && (is_pending(1) || is_pending(2)))
#endif

/* An operation begins: what is acknowledged by now is older than what it does. */
inline issue()
{
	target[me] = unit;
	if
	:: content == 0 ->
	   /* Zeros again: they are as new as this operation. */
	   acked[unit] = acked[unit] & ~1;
	   older[unit] = older[unit] & ~1;
	   older_at_flush[unit] = older_at_flush[unit] & ~1;
	   older_at_flush[UNITS + unit] = older_at_flush[UNITS + unit] & ~1;
	   stale[unit] = stale[unit] & ~1;
	   if
	   :: target[1 - me] == unit -> before[1 - me] = before[1 - me] & ~1
	   :: else
	   fi;
	:: else -> owner[content] = unit
	fi;
	before[me] = acked[unit];
}

inline acknowledge()
{
	older[unit] = older[unit] | before[me];
	acked[unit] = acked[unit] | bit_of(content);
	before[me] = 0;
	target[me] = NOBODY;
	content = 0;
	unit = 0;
	p = 0;
	e = 0;
	op++;
}

inline write_data()
{
	data[p] = content;
	dirty = true;
}

inline take_place()
{
	if
	:: place[1] == FREE -> p = 1
	:: place[1] != FREE && place[2] == FREE -> p = 2
	:: else -> wait = true
	fi;
	if
	:: p -> place[p] = USED
	:: else
	fi;
#ifdef COUNTER
	counted = (counted < p -> p : counted);
#endif
}

inline publish()
{
	d_step { set_copy(EARLIER, p) };
	d_step { set_copy(LATER, p); token[unit] = false };
}

/* Leaves p = 0 when somebody else made a place meanwhile, or there is none yet. */
inline write_new()
{
	atomic {
		lock(token[unit]);
		lock(alloc_lock);
		if
		:: cached[unit] == 0 && pending -> wait = true
		:: else
		fi;
	}
	if
	:: atomic { cached[unit] == 0 && !wait -> reclaim() };
	   d_step {
		take_place();
		alloc_lock = false;
		if
		:: p == 0 -> token[unit] = false
		:: else
		fi
	   }
	:: d_step { cached[unit] != 0 || wait -> alloc_lock = false; token[unit] = false }
	fi;
	if
	:: p ->
#ifdef EARLY_PUBLISH
	   publish();
	   write_data();
#else
	   write_data();
	   publish();
#endif
	:: else
	fi;
}

inline write()
{
	do
	:: enter();
	   p = cached[unit];
	   if
	   :: p -> write_data()
	   :: else -> write_new()
	   fi;
	   if
	   :: d_step { p -> inside[e]--; acknowledge() }; break
	   :: d_step { !p && wait -> inside[e]--; e = 0; wait = false }; commit()
	   :: d_step { !p && !wait -> inside[e]--; e = 0 }
	   fi
	od
}

inline discard()
{
	enter();
	atomic {
		lock(token[unit]);
		lock(alloc_lock);
		p = cached[unit];
	}
	if
	:: p ->
	   d_step { set_copy(EARLIER, 0) };
	   d_step { set_copy(LATER, 0) };
#ifdef EARLY_REUSE
	   place[p] = FREE;
#else
	   d_step { freed_from[p] = unit; place[p] = FREED };
#endif
	:: else
	fi;
	d_step { alloc_lock = false; token[unit] = false; inside[e]--; acknowledge() }
}

proctype writer(bit me)
{
	byte op, unit, content, p, x, wanted;
	bit e;
	bool wait;

	do
	:: atomic {
		op < (me == 0 -> OPS0 : OPS1) ->
		if
		:: unit = 0
		:: unit = 1
		fi;
		if
		:: content = 0
		:: content = FIRST + me * OPS0 + op
		fi;
		issue()
	   };
	   if
	   :: content -> write()
	   :: else -> discard()
	   fi
	:: else -> break
	od;
#ifdef PACK
	writers_left--;
#endif
}

#ifdef PACK
/* Somebody who reads, from before the writers' end or later: nothing of another unit. */
proctype reader()
{
	byte unit, p;
	bit e;

	if
	:: unit = 0
	:: unit = 1
	fi;
	enter();
	p = cached[unit];
	if
	:: d_step { p -> assert(owner[data[p]] == unit || owner[data[p]] == NOBODY) }
	:: else
	fi;
	d_step { p = 0; unit = 0; inside[e]--; e = 0 }
}

#ifdef NO_SETTLE
#define can_move	(place[1] != USED)
#else
#define can_move	(place[1] == FREE && place[2] == USED)
#endif

/* vd_fill_holes(), vdi_fill_holes(). With readers that do not end it gives up. */
proctype packer()
{
	byte x, wanted, unit, content;

	atomic { writers_left == 0; lock(alloc_lock) };
	commit();
	if
	:: atomic { can_move && cached[0] == 2 -> unit = 0 };
	   goto move
	:: atomic { can_move && cached[1] == 2 -> unit = 1 };
	   goto move
	:: else -> goto out
	fi;
move:	content = data[2];
#ifdef EARLY_MOVE
	d_step { place[1] = USED; set_copy(0, 1) };
#endif
	d_step { data[1] = content; place[1] = USED; dirty = true; content = 0 };
	d_step { set_copy(0, 1) };
	d_step { freed_from[2] = unit; place[2] = FREED };
#ifdef EARLY_PUNCH
	d_step { data[2] = GARBAGE; dirty = true };
#endif
	commit();
	/* What came to be free may get another use, or be cut off. */
	if
	:: d_step { place[2] == FREE -> data[2] = GARBAGE; dirty = true }
	:: d_step { place[2] != FREE }
	fi;
out:	alloc_lock = false
}
#endif

/* When vd_commit() returns, all that was acknowledged before the call is durable. */
proctype flusher(bit me)
{
	byte x, wanted;

	d_step {
		older_at_flush[me * UNITS] = older[0];
		older_at_flush[me * UNITS + 1] = older[1];
	}
	commit();
	d_step {
		stale[0] = stale[0] | older_at_flush[me * UNITS];
		stale[1] = stale[1] | older_at_flush[me * UNITS + 1];
		older_at_flush[me * UNITS] = 0;
		older_at_flush[me * UNITS + 1] = 0;
	}
}

#define write_back_of(block, durable, need) \
	d_step { durable != block -> durable = block; need = false }

proctype write_back()
{
end:	do
	:: write_back_of(data[1], durable_data[1], need_data[1])
	:: write_back_of(data[2], durable_data[2], need_data[2])
	:: write_back_of(map[0], durable_map[0], need_map[0])
	:: write_back_of(map[1], durable_map[1], need_map[1])
#if COPIES > 1
	:: write_back_of(map[2], durable_map[2], need_map[2])
	:: write_back_of(map[3], durable_map[3], need_map[3])
#endif
#ifdef COUNTER
	:: d_step { durable_count != count -> durable_count = count }
#endif
	od
}

/* --- power --- */

inline judge(m)
{
	if
	:: m == 0 -> assert(!(stale[u] & 1))
	:: else ->
	   assert(owner[durable_data[m]] == u);
	   assert(!(stale[u] & bit_of(durable_data[m])))
	fi;
}

/* Whatever is durable now is what would be found. */
proctype power()
{
	byte u;

end:	do
	:: d_step {
		for (u : 0 .. UNITS - 1) {
			judge(durable_map[u]);
			judge(durable_map[(COPIES - 1) * UNITS + u]);
			/* Two copies that name two places: nobody could tell which is right. */
			assert(!durable_map[u] || !durable_map[(COPIES - 1) * UNITS + u] ||
			       durable_map[u] == durable_map[(COPIES - 1) * UNITS + u]);
#ifdef COUNTER
			/* Others append behind what is counted. */
			assert(durable_map[u] <= durable_count);
#endif
		}
		u = 0;
	   }
	od;
}

/* Unit 0 lies in place 1 and is durable; place 2 is free and holds somebody's bytes. */
init
{
	byte x;

	atomic {
		data[1] = 1;
		durable_data[1] = 1;
		data[2] = GARBAGE;
		durable_data[2] = GARBAGE;
		for (x : 0 .. COPIES - 1) {
			cached[x * UNITS] = 1;
			map[x * UNITS] = 1;
			durable_map[x * UNITS] = 1;
		}
		place[1] = USED;
		place[2] = FREE;
#ifdef COUNTER
		counted = 1;
		count = 1;
		durable_count = 1;
#endif
#ifdef PACK
		writers_left = 2;
#endif
		owner[0] = NOBODY;
		owner[GARBAGE] = NOBODY;
		acked[0] = bit_of(1);
		acked[1] = bit_of(0);
		stale[0] = bit_of(0);
		target[0] = NOBODY;
		target[1] = NOBODY;
		run writer(0);
		run writer(1);
		run flusher(0);
#if FLUSHERS > 1
		run flusher(1);
#endif
#ifdef PACK
		run packer();
		run reader();
#endif
		run write_back();
		run power();
	}
}
