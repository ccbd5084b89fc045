"""What a function can ask about the nulls of its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def mask(column: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which rows of an argument are null: an array of bool, one a row.

    It is all false for a column without nulls, so that a function declared with
    ``nulls="mask"`` need not tell the two apart.

    >>> import numpy as np
    >>> mask(np.ma.array([1.0, 2.0], mask=[False, True])).tolist()
    [False, True]
    >>> mask(np.array([1.0, 2.0])).tolist()
    [False, False]
    """
    import numpy as np

    found: npt.NDArray[np.bool_] = np.ma.getmaskarray(column)
    return found
