"""Prints `csrc/engine/tanh_table.h`: run `python csrc/tanh_table.py > csrc/engine/tanh_table.h`.

The size of x falls into one of 16 pieces by the first bits of y = 1 + scale · |x|, so that pieces get wider with x.
In each, tanh is a polynomial in the distance from a centre. The centre is a number whose tanh is, to a thousandth of a
place, a float: so only the last sum rounds (Gal, "An accurate elementary mathematical library", 1991).
"""

import math

import numpy as np

PIECES, DEGREE = 16, 6
SCALE = 1.640625
MOST = 9.1  # tanh of it is 1 in float32; 1 + SCALE * MOST < 16

Coefficients = list[np.float32]


def main() -> None:
    """Prints the header."""
    table = np.zeros((DEGREE + 2, PIECES), np.float32)
    for i in range(PIECES):
        power, quarter = divmod(i, PIECES // 4)
        begin, end = (2**power * (1 + (quarter + j) * 4 / PIECES) for j in (0, 1))
        slot = (int(np.float32(begin).view(np.uint32)) >> 21) % PIECES
        table[:, slot] = _piece((begin - 1) / SCALE, (end - 1) / SCALE)
    rows = ",\n".join("    {" + ", ".join(_literal(value) for value in row) + "}" for row in table)
    print(HEADER.format(scale=SCALE, most=MOST, rows=rows), end="")


def _piece(begin: float, end: float) -> Coefficients:
    """Centre and coefficients, the lowest first."""
    middle, half = (begin + end) / 2, (end - begin) / 2
    if begin == 0:  # around 0 the error must be small beside x: a factor 1 exactly
        centre, first = np.float32(0), [np.float32(0), np.float32(1)]
        x = end * np.cos((np.arange(600) + 0.5) * np.pi / 1200)
        wanted = np.array([math.tanh(v) / v - 1 for v in x])
        return [centre, *first, *_fit(x, wanted, DEGREE - 1)]
    centre, value = _centre(middle, half)
    x = middle + half * 1.002 * np.cos((np.arange(600) + 0.5) * np.pi / 600)
    wanted = np.array([math.tanh(v) - float(value) for v in x])
    return [centre, value, *_fit(x - float(centre), wanted, DEGREE)]


def _centre(middle: float, half: float) -> tuple[np.float32, np.float32]:
    """A float near the middle whose tanh is nearly a float, and that."""
    near = int(np.float32(math.tanh(middle)).view(np.int32))
    found = []
    for bits in range(near - 3000, near + 3000):
        value = np.int32(bits).view(np.float32)
        if value >= 1:
            break
        centre = np.float32(math.atanh(float(value)))
        if abs(float(centre) - middle) < half / 2:
            off = abs(math.tanh(float(centre)) - float(value)) / float(np.spacing(value))
            found.append((round(off, 3), abs(float(centre) - middle), centre, value))
    return min(found)[2:]


def _fit(t: np.ndarray, wanted: np.ndarray, degree: int) -> Coefficients:
    """Factors of t, t² … by least squares; each is rounded before the next are fitted."""
    powers = np.stack([t**k for k in range(1, degree + 1)], 1)
    size = np.abs(powers).max(0)
    found: Coefficients = []
    for k in range(degree):
        factors = np.linalg.lstsq(powers[:, k:] / size[k:], wanted, rcond=None)[0] / size[k:]
        found.append(np.float32(factors[0]))
        wanted = wanted - float(found[-1]) * powers[:, k]
    return found


def _literal(value: np.float32) -> str:
    digits = f"{value:.9g}"
    return digits + ("f" if "." in digits or "e" in digits else ".f")


HEADER = """\
// Printed by csrc/tanh_table.py, which says what it is.
#pragma once

// clang-format off
namespace recurra::RECURRA_ISA {{

constexpr float kTanhScale = {scale}f, kTanhMost = {most}f;
alignas(64) constexpr float kTanhTable[][16] = {{  // centres, then coefficients, the lowest first
{rows}}};

}}  // namespace recurra::RECURRA_ISA
"""

if __name__ == "__main__":
    main()
