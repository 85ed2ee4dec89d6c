"""The compiled stages as Triton kernels: a program holds the states of a few samples in registers.

A state is two tensors (2^n, samples): real and imaginary part. What acts on one bit of a basis state's
number splits the state into the halves where it is 0 and 1 and joins them again; the compiler turns that
into moves between registers, shuffles in a warp, and shared memory for the few highest bits. A layer is a
diagonal, a change of numbering, and a rotation of every bit; which angle goes where is read from tables,
so that one compiled kernel serves every circuit of n qubits. A table's -1 stands for nothing.

In memory, too, a program's samples lie side by side: states (programs, 2, 2^n, samples), and cosines and
sines (programs, angles, 2, samples).
"""

import triton
import triton.language as tl

__all__ = ["backward", "forward", "tabulate"]

# Triton is to look at no argument's value, so that one compiled kernel serves every batch and circuit, nor
# at pointers' alignment, for which it spreads states over threads in a way that takes twice the barriers.
_NUMBERS = ["angles", "turns", "rotations", "states", "values", "weights", "buffer", "gradient"]
_TABLES = ["terms", "bits", "moved", "moves", "flips", "reads"]
_COUNTS = ["batch", "width", "n_layers", "n_passes", "n_strings"]
_PLAIN = _NUMBERS + _TABLES + _COUNTS


@triton.jit
def _split(x, BIT: tl.constexpr):
    """Return the halves of x (2^n, samples) where that bit is 0 and 1: (higher, lower bits, samples)."""
    x = tl.reshape(x, [x.shape[0] >> (BIT + 1), 2, 1 << BIT, x.shape[1]])
    return tl.split(tl.permute(x, [0, 2, 3, 1]))


@triton.jit
def _join(low, high):
    """Undo `_split`."""
    x = tl.permute(tl.join(low, high), [0, 3, 1, 2])
    return tl.reshape(x, [2 * low.shape[0] * low.shape[1], low.shape[2]])


@triton.jit
def _walsh(x, N: tl.constexpr):
    """Return sum_k (-1)^|k & m| x_k for every m."""
    for bit in tl.static_range(N):
        low, high = _split(x, bit)
        x = _join(low + high, low - high)
    return x


@triton.jit
def _spread(values, sample, width, table, N: tl.constexpr):
    """Return (2^n, samples) with the samples' values where the table names them and 0 elsewhere."""
    column = tl.load(table + tl.arange(0, 1 << N))[:, None]
    return tl.load(values + sample[None, :] * width + column, mask=column >= 0, other=0.0)


@triton.jit
def _gather(x, sample, here, values, width, table, N: tl.constexpr):
    """Store the elements of x (2^n, samples) that the table names."""
    column = tl.load(table + tl.arange(0, 1 << N))[:, None]
    tl.store(values + sample[None, :] * width + column, x, mask=(column >= 0) & here[None, :])


@triton.jit
def _phases(angles, sample, width, terms, turns, layer, SHARED: tl.constexpr, N: tl.constexpr):
    """Return cosine and sine of a diagonal's phases: from the table, or of each sample's own."""
    if SHARED:
        at = turns + (2 * layer << N) + tl.arange(0, 1 << N)[:, None]
        cos, sin = tl.load(at), tl.load(at + (1 << N))
    else:
        phase = _walsh(0.5 * _spread(angles, sample, width, terms + (layer << N), N), N)
        cos, sin = tl.cos(phase), tl.sin(phase)
    return cos, sin


@triton.jit
def _turn(rotations, entry, ROWS: tl.constexpr):
    """Return the angle that a table's entry names, and each sample's cosine and sine of half of it."""
    row = tl.arange(0, ROWS)
    angle = tl.load(entry + tl.zeros_like(row))
    at = rotations + 2 * ROWS * angle + row
    cos = tl.load(at, mask=angle >= 0, other=1.0)
    sin = tl.load(at + ROWS, mask=angle >= 0, other=0.0)
    return angle, cos[None, None, :], sin[None, None, :]


@triton.jit
def _keep(re, im, states):
    """Write a program's states, for all of its threads to read."""
    at = states + tl.reshape(tl.arange(0, re.shape[0] * re.shape[1]), re.shape)
    tl.debug_barrier()  # until nobody reads what was there before
    tl.store(at, re)
    tl.store(at + re.shape[0] * re.shape[1], im)
    tl.debug_barrier()


@triton.jit
def _fetch(states, k, N: tl.constexpr, ROWS: tl.constexpr):
    """Read a program's amplitudes number k."""
    at = states + k[:, None] * ROWS + tl.arange(0, ROWS)[None, :]
    return tl.load(at), tl.load(at + (ROWS << N))


@triton.jit
def _flipped(states, flip, imaginary, N: tl.constexpr, ROWS: tl.constexpr):
    """Return (a, b) such that a string's value is the Walsh transform of a re + b im."""
    re, im = _fetch(states, tl.arange(0, 1 << N) ^ flip, N, ROWS)
    if imaginary != 0:
        re, im = -im, re
    return re, im


@triton.jit(do_not_specialize=_PLAIN)
def tabulate(angles, terms, turns, width, N: tl.constexpr):
    """Write the cosines and sines of the phases that are the same for all samples; a program a layer."""
    layer = tl.program_id(0)
    sample = tl.zeros([1], tl.int64)
    cos, sin = _phases(angles, sample, width, terms, turns, layer, False, N)
    at = turns + (2 * layer << N) + tl.arange(0, 1 << N)[:, None]
    tl.store(at, cos)
    tl.store(at + (1 << N), sin)


@triton.jit(do_not_specialize=_PLAIN)
def forward(
    angles,  # (batch, width)
    turns,  # (n_layers, 2, 2^n): cosines and sines of shared phases
    terms,  # (n_layers, 2^n): the diagonal's angle of each mask
    bits,  # (n_layers, n): the angle of each bit's rotation
    moved,  # (n_layers,): whether the numbering changes before the rotations
    moves,  # (n_layers, 2^n): the old number of each basis state
    flips,  # (n_passes, 2): a readout's x, and whether its number of Ys is odd
    reads,  # (n_passes, 2^n): the column of each string's z
    rotations,  # out: cosines and sines of half the angles
    states,  # out
    values,  # out (batch, n_strings)
    batch,
    width,
    n_layers,
    n_passes,
    n_strings,
    SHARED: tl.constexpr,
    ROWS: tl.constexpr,
    N: tl.constexpr,
):
    """Run the circuit on the samples of one program."""
    program = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, ROWS)
    here = program * ROWS + row < batch
    sample = tl.where(here, program * ROWS + row, 0)
    states += program * (2 * ROWS << N)
    rotations += program * (2 * ROWS * width)
    ANGLES: tl.constexpr = 1 << N - 4 if N > 4 else 1  # turned at a time: one a thread
    for start in range(0, width, ANGLES):
        angle = start + tl.arange(0, ANGLES)[:, None]
        half = 0.5 * tl.load(angles + sample[None, :] * width + angle, mask=angle < width, other=0.0)
        at = rotations + 2 * ROWS * angle + row[None, :]
        tl.store(at, tl.cos(half), mask=angle < width)
        tl.store(at + ROWS, tl.sin(half), mask=angle < width)
    tl.debug_barrier()
    re = tl.full([1 << N, ROWS], 1.0, angles.dtype.element_ty)
    im = tl.zeros([1 << N, ROWS], angles.dtype.element_ty)
    for bit in tl.static_range(N):
        _, cos, sin = _turn(rotations, bits + bit, ROWS)
        low, high = _split(re, bit)
        re = _join(cos * low, sin * high)
    for layer in range(1, n_layers):
        c, s = _phases(angles, sample, width, terms, turns, layer, SHARED, N)
        re, im = re * c + im * s, im * c - re * s
        if tl.load(moved + layer) != 0:
            _keep(re, im, states)
            re, im = _fetch(states, tl.load(moves + (layer << N) + tl.arange(0, 1 << N)), N, ROWS)
        for bit in tl.static_range(N):
            _, cos, sin = _turn(rotations, bits + layer * N + bit, ROWS)
            low, high = _split(re, bit)
            re = _join(cos * low - sin * high, sin * low + cos * high)
            low, high = _split(im, bit)
            im = _join(cos * low - sin * high, sin * low + cos * high)
    _keep(re, im, states)
    for i in range(n_passes):
        a, b = re, im
        flip, imaginary = tl.load(flips + 2 * i), tl.load(flips + 2 * i + 1)
        if flip != 0:
            a, b = _flipped(states, flip, imaginary, N, ROWS)
        _gather(_walsh(a * re + b * im, N), sample, here, values, n_strings, reads + (i << N), N)


@triton.jit(do_not_specialize=_PLAIN)
def backward(
    angles,
    turns,
    terms,
    bits,
    moved,
    moves,  # (n_layers, 2^n): the new number of each basis state
    flips,
    reads,
    rotations,
    states,
    weights,  # (batch, n_strings): derivatives of the loss by `values`
    buffer,  # as states
    gradient,  # out (batch, width): derivatives of the loss by `angles`
    batch,
    width,
    n_layers,
    n_passes,
    n_strings,
    SHARED: tl.constexpr,
    ROWS: tl.constexpr,
    N: tl.constexpr,
):
    """Undo the circuit on the state and on the loss's derivative by it, reading off those by angles."""
    program = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, ROWS)
    here = program * ROWS + row < batch
    sample = tl.where(here, program * ROWS + row, 0)
    states += program * (2 * ROWS << N)
    buffer += program * (2 * ROWS << N)
    rotations += program * (2 * ROWS * width)
    re, im = _fetch(states, tl.arange(0, 1 << N), N, ROWS)
    dre = tl.zeros_like(re)
    dim = tl.zeros_like(im)
    for i in range(n_passes):
        a, b = re, im
        flip, imaginary = tl.load(flips + 2 * i), tl.load(flips + 2 * i + 1)
        if flip != 0:
            a, b = _flipped(states, flip, imaginary, N, ROWS)
        w = 2.0 * _walsh(_spread(weights, sample, n_strings, reads + (i << N), N), N)
        dre += w * a
        dim += w * b
    for i in range(1, n_layers + 1):
        layer = n_layers - i
        for bit in tl.static_range(N):
            angle, cos, sin = _turn(rotations, bits + layer * N + bit, ROWS)
            re0, re1 = _split(re, bit)
            im0, im1 = _split(im, bit)
            dre0, dre1 = _split(dre, bit)
            dim0, dim1 = _split(dim, bit)
            by_angle = dre1 * re0 - dre0 * re1 + dim1 * im0 - dim0 * im1
            by_angle = 0.5 * tl.sum(tl.sum(by_angle, axis=0), axis=0)
            tl.store(gradient + sample * width + angle, by_angle, mask=here & (angle >= 0))
            re = _join(cos * re0 + sin * re1, cos * re1 - sin * re0)
            im = _join(cos * im0 + sin * im1, cos * im1 - sin * im0)
            dre = _join(cos * dre0 + sin * dre1, cos * dre1 - sin * dre0)
            dim = _join(cos * dim0 + sin * dim1, cos * dim1 - sin * dim0)
        if tl.load(moved + layer) != 0:
            k = tl.load(moves + (layer << N) + tl.arange(0, 1 << N))
            _keep(re, im, buffer)
            re, im = _fetch(buffer, k, N, ROWS)
            _keep(dre, dim, buffer)
            dre, dim = _fetch(buffer, k, N, ROWS)
        if layer > 0:
            by_phase = 0.5 * _walsh(dre * im - dim * re, N)
            _gather(by_phase, sample, here, gradient, width, terms + (layer << N), N)
            c, s = _phases(angles, sample, width, terms, turns, layer, SHARED, N)
            re, im = re * c - im * s, im * c + re * s
            dre, dim = dre * c - dim * s, dim * c + dre * s
