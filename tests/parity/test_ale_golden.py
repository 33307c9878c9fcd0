"""The reference form of ALE against arrays that the released code made."""

import test_devise_golden

from avgzsl_bench.methods.ale import Ale


def compare():
    return test_devise_golden.compare(Ale)
