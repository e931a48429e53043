"""Compiled: values into their places in rows, and decimals as PostgreSQL's numeric."""

from __future__ import annotations

from include.compiled import BYTES, INT, INTS, TEXT, compiled, inlined

HEAD_BYTES, MOST_GROUPS = 8, 12  # of a numeric; 38 digits are in 11 groups of four at most
SLOT_BYTES = HEAD_BYTES + 2 * MOST_GROUPS
NEGATIVE = 0x40  # the high byte of its sign
GROUP = 10_000
LIMB, LIMB_BITS = 1 << 32, 32


@inlined
def _put2(out, to, value):
    out[to], out[to + 1] = value >> 8, value


@inlined
def _divided(limbs, low, divisor):
    """Divide a number of four limbs, in place; its rest."""
    rest = 0
    for limb in range(low + 3, low - 1, -1):
        part = rest << LIMB_BITS | limbs[limb]
        limbs[limb] = part // divisor
        rest = part % divisor
    return rest


@compiled(INT(BYTES, INTS, TEXT, INTS, INTS, INT))
def place(out, at, data, starts, sizes, prefix):
    """Write each value, its length first, where its row has come to (`at`), which moves on; a size of -1 is null."""
    for row in range(len(at)):
        to, size = at[row], sizes[row]
        length = size + 1 if size >= 0 and prefix >= 0 else size
        _put2(out, to, length >> 16)
        _put2(out, to + 2, length)
        to += 4
        if length > size:
            out[to] = prefix
            to += 1
        start = starts[row]
        for byte in range(size):
            out[to + byte] = data[start + byte]
        at[row] = to + max(size, 0)
    return 0


@compiled(INT(INTS, INT, BYTES, INTS, INTS))
def digits(limbs, scale, out, sizes, groups):
    """Write numbers of four limbs each (two's complement, the lowest first, which are used up) as numerics in slots.

    Groups of four digits count from the point, and `groups` has room for those of one number. Zero groups before the
    first or after the last are not written.
    """
    last = scale % 4  # digits of the last group, when it is not full
    divisor = 10**last
    times = GROUP // divisor
    after = (scale + 3) // 4
    for row in range(len(sizes)):
        low, to = 4 * row, row * SLOT_BYTES
        negative = limbs[low + 3] >= LIMB // 2
        if negative:
            carry = 1
            for limb in range(low, low + 4):
                turned = LIMB - 1 - limbs[limb] + carry
                limbs[limb], carry = turned & (LIMB - 1), turned >> LIMB_BITS
        count = 0
        if last:
            groups[0] = _divided(limbs, low, divisor) * times
            count = 1
        while limbs[low + 1] | limbs[low + 2] | limbs[low + 3]:
            groups[count] = _divided(limbs, low, GROUP)
            count += 1
        value = limbs[low]
        while value:
            groups[count] = value % GROUP
            value //= GROUP
            count += 1
        while count and groups[count - 1] == 0:
            count -= 1
        first = 0
        while first < count and groups[first] == 0:
            first += 1
        _put2(out, to, count - first)
        _put2(out, to + 2, count - 1 - after if count else 0)
        _put2(out, to + 4, NEGATIVE << 8 if negative else 0)
        _put2(out, to + 6, scale)
        to += HEAD_BYTES
        for group in range(count - 1, first - 1, -1):
            _put2(out, to, groups[group])
            to += 2
        sizes[row] = HEAD_BYTES + 2 * (count - first)
    return 0
