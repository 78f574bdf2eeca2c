import numpy as np
import pytest

from mmdevis.utils.numpy_compat import removed_aliases


def test_alias_is_there_inside_only():
    there_before = 'float' in np.__dict__
    with removed_aliases():
        assert np.zeros(2, dtype=np.float).dtype == np.float64
        with removed_aliases():
            pass
        assert np.float is float
    assert ('float' in np.__dict__) == there_before


def test_alias_goes_after_an_error_too():
    there_before = 'float' in np.__dict__
    with pytest.raises(ZeroDivisionError), removed_aliases():
        1 / 0  # noqa: B018
    assert ('float' in np.__dict__) == there_before
