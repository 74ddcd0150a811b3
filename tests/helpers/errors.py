"""An InputError that must hold certain words."""

import pytest

from culture_lens.errors import InputError


def refused(words, function, *args, **options):
    """It must fail with one InputError that holds all of the words."""
    with pytest.raises(InputError) as caught:
        function(*args, **options)
    said = str(caught.value)
    missing = [word for word in words if word not in said]
    assert not missing, f"{missing} not in: {said}"
