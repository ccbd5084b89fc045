"""How unusual is a reading, given what its device has measured so far?"""

import numpy as np

import gorge


@gorge.udf(version=2)
def anomaly_score(value, mean, std):
    """Standard deviations between a value and the mean of its past; 0 without spread."""
    return (value - mean) / np.where(std > 0, std, np.inf)
