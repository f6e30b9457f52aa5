"""Compiled code that decodes chunks: 2-D float32 fields in zfp's fixed-accuracy mode, and raw ones.

A stream says only block by block where the next block begins. So reading bits is kept short: a
table tells several bit planes at a time. All that follows, the inverse transform and the scaling,
is done for many blocks side by side.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.cgutils import ir
from numba.extending import intrinsic

from surrlab._compiled import njit
from surrlab.compression import hdf5_filters

OTHER, RAW, ZFP = 0, 1, 2  # how a chunk is taken: not at all, copied, decoded

# Positions (x + 4 y) of a block's 16 coefficients, from smooth to rough.
_ORDER = np.array([0, 1, 4, 5, 2, 8, 6, 9, 3, 12, 10, 7, 13, 11, 14, 15])
_SCALE = np.ldexp(1.0, np.arange(256) - 157).astype(np.float32)  # of integers, by biased exponent
_NEGATIVE = np.uint32(0xAAAAAAAA)  # turns negabinary into two's complement
_WINDOW = 10  # bits that the table looks ahead: 15 at most
_GROUP = 4  # bit planes that it finds there at most: as many as a nibble holds
_STRIP = 64  # blocks that are transformed together, or more in one row of them
_UNROLLED = 32  # blocks that the transform's loops take at a time, on the widest processors
_ONE, _BYTE, _LAST = np.uint64(1), np.uint64(255), np.uint64(15)

# By the lower and by the higher byte of a plane: bit i as the highest bit of nibble _ORDER[i].
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_NIBBLES = np.left_shift(np.uint64(8), 4 * _ORDER.astype(np.uint64)).reshape(2, 8)
_SPREAD = _NIBBLES @ _BITS.T.astype(np.uint64)


@intrinsic
def _copy(_, target, source, nbytes):  # addresses
    def generate(context, builder, _, arguments):
        to, source = (builder.inttoptr(a, cgutils.voidptr_t) for a in arguments[:2])
        cgutils.raw_memcpy(builder, to, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def _trailing_zeros(_, word):
    def generate(context, builder, _, arguments):
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


@intrinsic
def _add_planes(_, block, group, above, kept):
    """``block[i] |= (nibble i of group << 28 & kept) >> above`` for 16 uint32 at an address.

    All at once: of a loop over so few, compilers make 16 times as many instructions.
    """
    number = ir.IntType(32)
    lanes, halves = ir.VectorType(number, 16), ir.VectorType(number, 2)

    def each(numbers):
        return ir.Constant(lanes, [number(n) for n in numbers])

    def generate(context, builder, _, arguments):
        def spread(vector, places):
            return builder.shuffle_vector(vector, vector, each(places))

        def repeat(value):
            first = builder.insert_element(ir.Constant(lanes, ir.Undefined), value, number(0))
            return spread(first, [0] * 16)

        address, group, above, kept = arguments
        planes = spread(builder.bitcast(group, halves), [0] * 8 + [1] * 8)
        planes = builder.shl(planes, each([28 - 4 * (i % 8) for i in range(16)]))
        planes = builder.lshr(builder.and_(planes, repeat(kept)), repeat(above))
        block = builder.inttoptr(address, lanes.as_pointer())
        builder.store(builder.or_(builder.load(block, align=4), planes), block, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.uint64, types.uint32, types.uint32), generate


@njit(nogil=True)
def decode_chunks(addresses, nbytes, rows, chosen, slots, out, shifts, low, high, tables):
    # A copy of each stream begins and ends on words of eight bytes. Whatever a damaged one says,
    # it is not read beyond the longest that there can be, and a word.
    words = np.empty(high // 8 + 3, np.uint64)
    data = words.view(np.uint8)
    scratch = _scratch(out.shape[2])
    for i in range(len(slots)):
        how, exponent, has_checksum = rows[chosen[i]]
        if how == OTHER:
            continue
        n = nbytes[i] - 4 * has_checksum
        target = out[slots[i]]
        if how == RAW:
            if n != target.nbytes:
                return i
            _copy(target.ctypes.data, addresses[i], n)
            _copy(data.ctypes.data, addresses[i] + n, nbytes[i] - n)
            if has_checksum and hdf5_filters._fletcher32(
                target.reshape(-1).view(np.uint8)
            ) != _word(data, 0):
                return i
            _add(target, shifts[i])
            continue
        if not low <= n <= high:
            return i
        words[(n - 1) // 8] = 0
        _copy(data.ctypes.data, addresses[i], nbytes[i])
        if has_checksum:
            if hdf5_filters._fletcher32(data[:n]) != _word(data, n):
                return i
            data[n : n + 4] = 0
        if _decode_field(words, exponent, tables, scratch, target) > 64 * ((n + 7) // 8):
            return i
        _add(target, shifts[i])
    return len(slots)


@njit(nogil=True)
def _add(out, shift):
    if shift != 0:
        for y in range(out.shape[0]):
            for x in range(out.shape[1]):
                out[y, x] += shift


@njit(nogil=True)
def _word(data, i):  # the little-endian number in four bytes
    word = np.uint32(0)
    for k in range(3, -1, -1):
        word = (word << np.uint32(8)) | np.uint32(data[i + k])
    return word


@njit(cache=False)
def _scratch(nx):
    """Room for a strip of blocks: coefficients, values and scales; and for one block."""
    n = _whole(max(_STRIP, (nx + 3) // 4), _UNROLLED)
    rows, lines = np.empty((4, 4 * n), np.uint32), np.empty((4, 4 * n), np.float32)
    return rows, lines, np.zeros(n, np.float32), np.empty(16, np.uint32)


@njit(cache=False, inline="always")
def _whole(n, size):  # rounded up to a multiple
    return -(-n // size) * size


@njit(nogil=True)
def _decode_field(words, exponent, tables, scratch, out):
    """Decode a stream of tolerance 2^exponent into ``out`` (ny, nx); the bits that it took.

    Bits are read block by block, one after another; what follows is done for a strip of blocks, in
    loops over values side by side.
    """
    ny, nx = out.shape
    rows, lines, scales, block = scratch
    across, down = (nx + 3) // 4, (ny + 3) // 4
    height = min(down, len(scales) // across)
    position = np.uint64(0)
    for top in range(0, down, height):
        n = across * min(height, down - top)
        position = _read_blocks(words, position, exponent, tables, n, rows, scales, block)
        _transform(_whole(n, _UNROLLED), rows, scales, lines)
        for y in range(4 * top, min(ny, 4 * (top + height))):
            line = lines[y % 4, 4 * across * (y // 4 - top) :]
            _copy(out[y].ctypes.data, line.ctypes.data, 4 * nx)
    return np.int64(position)


@njit(cache=False)
def _read_blocks(words, position, exponent, tables, n_blocks, rows, scales, block):
    """Read the coefficients of blocks, side by side and in negabinary, and their scales.

    Fills ``rows`` (4, 4 n_blocks) and ``scales`` (n_blocks,); returns the position in the stream.
    """
    lengths, planes = tables
    window, whole = np.uint64(_WINDOW), np.uint64(64)
    for b in range(n_blocks):
        bits = _peek(words, position)
        biased = (bits >> _ONE) & _BYTE
        scales[b] = _SCALE[biased]
        block[:] = 0
        n_planes, taken = 0, _ONE
        if bits & _ONE:  # not all zero
            n_planes = min(32, max(0, np.int64(biased) - 127 - exponent + 6))
            taken = np.uint64(9)
        position += taken
        bits >>= taken
        left = whole - taken
        n, done = np.uint64(0), 0
        while done < n_planes:
            if left < window:
                bits, left = _peek(words, position), whole
            ahead = bits & ((_ONE << window) - _ONE)
            found, group = np.uint64(lengths[n, ahead]), planes[n, ahead]
            count, taken = np.int64((found >> np.uint64(20)) & np.uint64(7)), found & _LAST
            if not count:  # the next plane takes more bits than the table looks ahead
                plane, n, taken = _plane(_peek(words, position), n)
                group, count, left = _to_nibbles(plane), 1, taken
            else:
                n = found >> np.uint64(24)
                if done + count > n_planes:  # what follows is the next block
                    count = n_planes - done
                    taken = (found >> np.uint64(4 * count)) & _LAST
            position += taken
            bits >>= taken
            left -= taken
            kept = np.uint32(np.uint64(0xFFFFFFFF) << np.uint64(32 - count))
            _add_planes(block.ctypes.data, group, np.uint32(done), kept)
            done += count
        for y in range(4):
            _copy(rows[y, 4 * b :].ctypes.data, block[4 * y :].ctypes.data, 16)
    return position


@njit(cache=False, inline="always")
def _peek(words, position):  # the next 64 bits
    i, shift = position >> np.uint64(6), position & np.uint64(63)
    return (words[i] >> shift) | ((words[i + _ONE] << _ONE) << (np.uint64(63) - shift))


@njit(cache=False, inline="always")
def _plane(bits, n):
    """A bit plane whose first n coefficients are in use: its set bits, the new n, the bits taken.

    zfp codes those n as they are, and the rest as runs: a 1 says that there is another set bit,
    then zeros lead up to it, and its 1 is left out at the last coefficient; a 0 ends the plane. A
    plane takes 47 bits at most.
    """
    plane, taken = bits & ((_ONE << n) - _ONE), n
    bits >>= n
    while n <= _LAST:
        taken += _ONE
        if not bits & _ONE:
            break
        bits >>= _ONE
        zeros = _trailing_zeros(bits | (_ONE << (_LAST - n)))
        n += zeros
        run = zeros + np.uint64(n < _LAST)
        bits >>= run
        taken += run
        plane |= _ONE << n
        n += _ONE
    return plane, n, taken


@njit(cache=False, inline="always")
def _to_nibbles(plane):  # each coefficient's bit as the highest one of its nibble
    return _SPREAD[0, plane & _BYTE] | _SPREAD[1, plane >> np.uint64(8)]


@functools.cache
def plane_tables():
    """What the next bits say of the next planes, of which the first n coefficients are in use.

    Returns
    -------
    lengths : array (17, 2 ** _WINDOW) uint32
        Bits 4 k to 4 k + 3 how many bits the first k planes take, 0 to 3 all of them; 20-22 the
        number of planes that end within the window, up to _GROUP; 24-28 the new n.
    planes : array (17, 2 ** _WINDOW) uint64
        These planes: a nibble for each coefficient, by position, of which the first is highest.
    """
    return _make_tables()


@njit()
def _make_tables():
    lengths = np.zeros((17, 1 << _WINDOW), np.uint32)
    planes = np.zeros((17, 1 << _WINDOW), np.uint64)
    for first, ahead in np.ndindex(lengths.shape):
        n, total, count = np.uint64(first), np.uint64(0), 0
        while count < _GROUP:
            plane, after, taken = _plane(np.uint64(ahead) >> total, n)
            if total + taken > np.uint64(_WINDOW):
                break
            planes[first, ahead] |= _to_nibbles(plane) >> np.uint64(count)
            n, total, count = after, total + taken, count + 1
            lengths[first, ahead] |= np.uint32(total << np.uint64(4 * count))
        lengths[first, ahead] |= np.uint32(total | (n << np.uint64(24))) | np.uint32(count << 20)
    return lengths, planes


@njit(cache=False)
def _transform(n_blocks, rows, scales, lines):
    """From coefficients (4, 4 n_blocks), which it overwrites, to values."""
    r0, r1, r2, r3 = rows[0], rows[1], rows[2], rows[3]
    for i in range(4 * n_blocks):
        a, b, c, d = _lift(_signed(r0[i]), _signed(r1[i]), _signed(r2[i]), _signed(r3[i]))
        r0[i], r1[i], r2[i], r3[i] = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)
    for y in range(4):
        row, line = rows[y], lines[y]
        for i in range(n_blocks):
            a, b, c, d = _lift(
                np.int32(row[4 * i]),
                np.int32(row[4 * i + 1]),
                np.int32(row[4 * i + 2]),
                np.int32(row[4 * i + 3]),
            )
            line[4 * i] = scales[i] * np.float32(a)
            line[4 * i + 1] = scales[i] * np.float32(b)
            line[4 * i + 2] = scales[i] * np.float32(c)
            line[4 * i + 3] = scales[i] * np.float32(d)


@njit(cache=False, inline="always")
def _signed(number):  # from negabinary
    return np.int32((number ^ _NEGATIVE) - _NEGATIVE)


@njit(cache=False, inline="always")
def _lift(x, y, z, w):  # zfp's inverse transform of four values, in 32 bits as there
    y = np.int32(y + (w >> 1))
    w = np.int32(w - (y >> 1))
    y = np.int32(y + w)
    w = np.int32(2 * w - y)
    z = np.int32(z + x)
    x = np.int32(2 * x - z)
    y = np.int32(y + z)
    z = np.int32(2 * z - y)
    w = np.int32(w + x)
    x = np.int32(2 * x - w)
    return x, y, z, w
