"""The least gas limit that suffices, by search over re-execution."""

from __future__ import annotations

from collections.abc import Callable


def least_limit(succeeds: Callable[[int], bool], *, spent: int, most: int, least: int = 0) -> int | None:
    """Return a limit with which a call succeeds while with one less it fails; None if `most` does not suffice.

    `succeeds(limit)` executes the call again. `spent` is what it spent at `most`, before refunds: less rarely
    suffices, so the search begins there and doubles its steps. More can be needed: a caller keeps a 64th of its gas
    from whom it calls (EIP-150), a stipend is not its own, a refund comes at the end. `least` is known to be no more
    than is needed, as the intrinsic gas is.

    For a contract that looks at its gas and does something else when it has more, there may be several such limits;
    this is one of them.
    """
    guess = min(max(spent, least), most)
    if succeeds(guess):
        low, high = least - 1, guess
        step = 1
        while high - step > low:
            if not succeeds(high - step):
                low = high - step
                break
            high -= step
            step *= 2
    else:
        low, step = guess, max(1, guess // 64)
        while True:
            if low >= most:
                return None
            high = min(most, low + step)
            if succeeds(high):
                break
            low, step = high, step * 2
    while high - low > 1:
        middle = (low + high) // 2
        if succeeds(middle):
            high = middle
        else:
            low = middle
    return high
