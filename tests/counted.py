"""An array that counts what is calculated with it: what goes with an ensemble's square shows."""

import numpy as np


class Counted(np.ndarray):
    """An array that counts how many of its values are calculated with."""

    n = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        Counted.n += sum(one.size for one in inputs if isinstance(one, Counted))
        plain = [one.view(np.ndarray) if isinstance(one, Counted) else one for one in inputs]
        return getattr(ufunc, method)(*plain, **options)
