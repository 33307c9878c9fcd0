"""The reference form of SJE against arrays that the released code made."""

import test_devise_golden

from avgzsl_bench.methods.sje import Sje


def compare():
    return test_devise_golden.compare(Sje)
